"""At which steps a trial is evaluated."""

import numpy as np
import pytest

from lr_batch.engine.cadence import evaluation_steps


@pytest.mark.parametrize("budget", [1, 2, 13, 300, 10_000, 1_000_000_000])
def test_from_0_to_the_budget_every_step_at_first_and_never_far_apart(budget):
    steps = evaluation_steps(budget)
    assert steps[0] == 0 and steps[-1] == budget and steps.dtype == np.int32
    gaps = np.diff(steps.astype(np.int64))
    assert (gaps >= 1).all()
    assert (gaps <= np.maximum(1, 0.08 * steps[:-1] + 0.5)).all()
    assert (gaps[:6] == 1).all()


def test_the_number_of_evaluations_grows_with_the_logarithm_of_the_budget():
    assert len(evaluation_steps(10_000)) < 140
    assert len(evaluation_steps(10_000_000)) < 260


def test_shorter_budgets_are_evaluated_at_the_same_steps():
    long, short = evaluation_steps(5_000), evaluation_steps(700)
    np.testing.assert_array_equal(short[:-1], long[: len(short) - 1])
