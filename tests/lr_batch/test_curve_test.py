"""The test of fit: faults are caught and say what is wrong, good curves are not."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lr_batch.analysis.critical_batch import critical_batch_size
from tests.lr_batch.known_curve import BATCH_SIZES, hyperbola
from tests.lr_batch.test_critical_batch import _optima

DRAWS = 40
B = BATCH_SIZES.astype(float)


def _two_stages(first=4.0, second=256.0):
    """Slopes -1, -1/2, 0."""
    return 30.0 * np.where(B < first, first / B, 1.0) * (second / np.clip(B, first, second)) ** 0.5


FAULTS = {
    "two stages": (_two_stages(), "bend|more steps|fewer steps|scatter"),
    "rising": (hyperbola(B) * np.maximum(1.0, B / 128) ** 0.4, "bend|more steps|fewer steps"),
    "E(1) doubled": (hyperbola(B) * np.where(B == 1, 2, 1), "batch size 1 needs more steps"),
    "3x at the largest": (hyperbola(B) * np.where(B == 1024, 3, 1), "batch size 1,024 needs more steps"),
    "two steps": (hyperbola(B, s_min=2.0), "fewer than 4 steps"),
}
GOOD = {"1": hyperbola(B), "2": hyperbola(B, sharpness=2.0), "0.7": hyperbola(B, sharpness=0.7)}


def _notes(steps, draw, slow=()):
    """Notes of a study of four seeds with spread 0.1, half of it shared by all batch sizes in variance."""
    rng = np.random.default_rng((draw, 7))
    apart = 0.1 * rng.standard_normal((len(B), 4)) + 0.05 * rng.standard_normal(4)
    seed_steps = steps[:, None] * np.exp(apart)
    for size in slow:
        seed_steps[BATCH_SIZES == size, 2] *= 3.0
    return critical_batch_size(None, optima=_optima(seed_steps, grid_sd=0.04)).test.notes


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_caught_and_named(fault):
    """At least 34 of 40 draws: what catches 92 % fails here in 3 % of cases."""
    steps, words = FAULTS[fault]
    notes = [" ".join(_notes(steps, draw)) for draw in range(DRAWS)]
    assert sum(bool(re.search(words, note)) for note in notes) >= 34


@pytest.mark.parametrize("curve", GOOD)
def test_good_curves_raise_nothing(curve):
    """At most 4 of 40 draws: a true share of 2.5 % exceeds that in 0.3 % of cases."""
    assert sum(bool(_notes(GOOD[curve], draw)) for draw in range(DRAWS)) <= 4


def test_one_slow_seed_is_named():
    notes = [" ".join(_notes(hyperbola(B), draw, slow=(1, 2))) for draw in range(DRAWS)]
    assert (
        sum("seed 2 at batch size 1 " in note and "seed 2 at batch size 2 " in note for note in notes) >= 36
    )


def test_where_one_seed_of_each_batch_size_reached_the_goal_the_test_still_has_numbers():
    """No degree of freedom is left of the seeds' spread; it counts as one."""
    optima = _optima(np.stack([FAULTS["3x at the largest"][0]] * 2, axis=1), grid_sd=0.04)
    test = critical_batch_size(None, optima=[row._replace(n_reached=1) for row in optima]).test
    assert np.isfinite([test.scatter, test.outlier, test.bend]).all()
