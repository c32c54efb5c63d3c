"""The noisy quadratic's curve, fitted to some batch sizes, beside the theory that it is a table of."""

from __future__ import annotations

import numpy as np
import pytest

from lr_batch import held_out_sizes
from lr_batch.analysis.quadratic_curve import DIM, GOAL, curve, fit_quadratic
from lr_batch.workloads.noisy_quadratic_theory import optimal


def steps_of(alpha, sizes):
    h = np.arange(1, DIM + 1.0) ** -alpha
    return optimal(sizes, h, goal=GOAL * h.sum() / 2).steps


def test_the_table_is_the_theory_also_between_its_entries():
    sizes = np.array([1.0, 7.0, 30.0, 150.0, 700.0, 2.0**20])
    log_s = np.log(steps_of(1.0, sizes))
    parameters = np.array([[log_s[-1], log_s[0] - log_s[-1], 0.0]])
    np.testing.assert_allclose(curve(parameters, np.log(sizes))[0], log_s, atol=0.01)


@pytest.mark.parametrize("alpha", [0.75, 1.4])
def test_a_spectrum_comes_back_from_its_steps_and_predicts_larger_batches(alpha):
    sizes = 2.0 ** np.arange(0, 18)
    y = np.log(steps_of(alpha, sizes)) + np.log(3.0)
    seen = slice(0, 11)
    found = fit_quadratic(np.log(sizes[seen]), y[None, seen], np.full(11, 1e-3))
    assert np.exp(found[0, 2]) == pytest.approx(alpha, rel=0.1)
    np.testing.assert_allclose(curve(found, np.log(sizes))[0], y, atol=0.05)


def test_many_fits_are_the_single_ones():
    rng = np.random.default_rng(0)
    sizes, se = 2.0 ** np.arange(0, 8), np.full(8, 0.1)
    y = np.log(50.0 * (1 + 20 / sizes)) + 0.1 * rng.standard_normal((3, 8))
    together = fit_quadratic(np.log(sizes), y, se)
    for row, one in zip(together, y, strict=True):
        np.testing.assert_allclose(fit_quadratic(np.log(sizes), one[None], se)[0], row, rtol=1e-9)


def test_held_out_sizes_are_four_and_sixteen_times_the_fit():
    sizes = np.array([1, 2, 4, 8, 16, 64])
    rows = held_out_sizes(sizes, 40.0 * (1 + 10.0 / sizes), np.full(6, 0.02))
    assert [(r.fitted_until, r.batch_size, r.factor) for r in rows] == [(4, 16, 4), (4, 64, 16), (16, 64, 4)]
    assert all(0.98 < r.hyperbola < 1.02 for r in rows) and 0.8 < rows[2].quadratic < 1.25
    with_gap = held_out_sizes(
        sizes, 40.0 * (1 + 10.0 / sizes) * np.array([1, 1, 1, 1, 1, 2.0]), np.full(6, 0.02)
    )
    assert with_gap[2].hyperbola == pytest.approx(rows[2].hyperbola / 2, rel=1e-6)


@pytest.mark.parametrize(
    "lists, message",
    [
        (([], [1.0, 2.0], [0.1, 0.1]), "lists of the same length, got 0, 2, 2"),
        (([1, 2], [1.0, 2.0], [0.1]), "lists of the same length, got 2, 2, 1"),
        (([1, 2], [1.0, 0.0], [0.1, 0.1]), "must be finite and > 0"),
        (([2, 1], [1.0, 2.0], [0.1, 0.1]), "must ascend"),
    ],
)
def test_held_out_sizes_refuse_what_is_no_curve(lists, message):
    with pytest.raises(ValueError, match=message):
        held_out_sizes(*lists)
