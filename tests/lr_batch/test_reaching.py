"""The average in log step, against closed forms."""

import numpy as np
import pytest

from lr_batch.engine.cadence import evaluation_steps
from lr_batch.problem.reaching import average_weights, averaged

STEPS = evaluation_steps(10_000)


def test_without_a_time_constant_it_is_the_value():
    values = np.random.default_rng(0).standard_normal((len(STEPS), 3))
    np.testing.assert_array_equal(averaged(STEPS, values, 0.0), values)


@pytest.mark.parametrize("tau", [0.05, 0.2, 1.0])
def test_a_constant_stays_and_weights_are_shares(tau):
    weights = average_weights(STEPS, tau)
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-6)
    assert (weights >= 0).all()
    np.testing.assert_allclose(averaged(STEPS, np.full(len(STEPS), -3.5), tau), -3.5, rtol=1e-6)


@pytest.mark.parametrize("thinned", [1, 2, 4])
def test_it_lags_by_the_time_constant_however_it_is_evaluated(thinned):
    """Of y = log s the average is log s - tau, once what came before the first step is forgotten."""
    steps = np.unique([0, 1, *STEPS[1::thinned]])
    average = averaged(steps, np.log(np.maximum(steps, 1)), 0.2)
    late = steps > 50
    np.testing.assert_allclose(average[late], np.log(steps[late]) - 0.2, atol=1e-5)


def test_of_a_power_of_the_step_it_is_that_power():
    """The integral of (s e^-u)^-q e^(-u/tau) du / tau is s^-q / (1 - q tau), to second order in the distance."""
    expected = STEPS[60:] ** -0.5 / (1 - 0.5 * 0.2)
    np.testing.assert_allclose(averaged(STEPS, np.maximum(STEPS, 1.0) ** -0.5, 0.2)[60:], expected, rtol=3e-4)


def test_it_begins_anew_at_the_first_evaluation_after_the_start():
    values = np.array([100.0, 2.0, 1.0])
    average = averaged(np.array([0, 1, 2]), values, 0.2)
    assert average[1] == 2.0 and 1.0 < average[2] < 2.0


def test_a_trial_in_two_parts_has_the_same_weights():
    whole = average_weights(STEPS, 0.2)
    parts = [average_weights(STEPS[:40], 0.2), average_weights(STEPS[40:], 0.2, start=int(STEPS[39]))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
