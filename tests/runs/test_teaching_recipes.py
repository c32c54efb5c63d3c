"""The teaching figures: their numbers, and how those are read off a run."""

from __future__ import annotations

import numpy as np
import pytest

from runs.recipes import (
    batch_schedule,
    gradient_paths,
    linear_scaling,
    rare_features,
    rate_sensitivity,
    schedules,
)

pytestmark = pytest.mark.usefixtures("long_training")
PNG = b"\x89PNG"


def test_linear_scaling_prints_its_answer_and_draws(tmp_path, capsys):
    """README tells readers to copy it; its quick form has four batch sizes, just enough for an answer."""
    outcome = linear_scaling.main(str(tmp_path), quick=True)
    said = capsys.readouterr().out
    assert outcome.critical is not None and "critical batch size " in said
    assert outcome.law is not None and f"best rate: {outcome.law.words}; " in said
    for name in ("steps_to_goal.png", "learning_rate.png"):
        assert (tmp_path / name).read_bytes()[:4] == PNG


@pytest.fixture
def out(tmp_path):
    """Where a recipe draws; the file must be an image afterwards."""
    path = tmp_path / "figure.png"
    yield str(path)
    assert path.read_bytes()[:4] == PNG


def test_gradient_paths_contract_as_the_theory_has_it(out):
    measured = gradient_paths.main(out, quick=True)
    assert set(measured) == {"gradient descent", "Nesterov", "momentum"}
    for result in measured.values():
        assert result.rate == pytest.approx(result.theory, rel=5e-3)
    assert measured["gradient descent"].power == pytest.approx(0, abs=1e-3)  # simple roots
    assert measured["Nesterov"].power == pytest.approx(1, abs=0.25)  # double roots
    assert measured["momentum"].power == pytest.approx(1, abs=0.25)


def test_gradient_paths_theory_is_the_spectral_radius_of_the_recursion():
    """Of the step (theta_t, theta_{t-1}) -> (theta_{t+1}, theta_t) at the two ends of the spectrum."""
    kappa = 100.0
    for method in gradient_paths.methods(kappa):
        rate, b = method.hparams["learning_rate"], method.hparams.get("momentum", 0.0)
        look_ahead = 1 - rate * np.array([1.0, kappa])
        if method.optimizer == "nesterov":
            steps = [[[(1 + b) * a, -b * a], [1, 0]] for a in look_ahead]
        else:
            steps = [[[b + a, -b], [1, 0]] for a in look_ahead]
        # A double root is computed only to the square root of the precision.
        assert np.abs(np.linalg.eigvals(steps)).max() == pytest.approx(method.theory, rel=1e-6)


def test_contraction_of_a_known_sequence():
    k = np.arange(1, 101)[:, None]
    result = gradient_paths.contraction(k * 0.8**k * np.ones(2), theory=0.8)
    # The sequence starts at k = 1, so that the fitted k is off by one.
    assert result.rate == pytest.approx(0.8, rel=1e-3)
    assert result.power == pytest.approx(1, abs=0.05)


def test_rare_features_are_learned_sooner_by_adaptive_methods(out):
    results = rare_features.main(out, quick=True)
    sgd = results.pop("sgd")
    assert sgd.slope == pytest.approx(-1, abs=0.2)
    assert set(results) == {"adagrad", "rmsprop", "adam"}
    for adaptive in results.values():
        assert adaptive.slope > -0.5
        assert adaptive.median_steps[-1] < 0.7 * sgd.median_steps[-1]


def test_steps_to_learn_counts_from_where_the_error_stays_small():
    error = np.array([[0.5, 0.05, 0.5, 0.05], [0.05, 0.05, 0.05, 0.5], [0.5, 0.5, 0.05, np.nan]]).T
    np.testing.assert_array_equal(rare_features.steps_to_learn(error), [4, np.inf, np.inf])
    np.testing.assert_array_equal(rare_features.steps_to_learn(np.full((4, 1), 0.01)), [1])


def test_sensitivity_is_wider_for_adam_than_for_sgd(out):
    results = rate_sensitivity.main(out, quick=True)
    sgd, adam = results["sgd"], results["adam"]
    assert adam.decades > 1.3 * sgd.decades > 0
    assert adam.best_rate < 0.1 * sgd.best_rate
    assert max(sgd.best_loss, adam.best_loss) < 0.25  # chance is log(10) = 2.3
    for result in (sgd, adam):
        assert result.good[0] < result.best_rate < result.good[1]


def test_good_range_of_a_parabola():
    """log loss = (log10 rate)^2 / 4, so it is 1.5 times the least at |log10 rate| = 2 sqrt(log 1.5)."""
    rates = np.logspace(-3, 3, 601)
    low, high = rate_sensitivity.good_range(rates, np.exp(np.log10(rates) ** 2 / 4))
    half = 2 * np.sqrt(np.log(1.5))
    assert np.log10([low, high]) == pytest.approx([-half, half], abs=1e-3)


def test_good_range_beyond_the_grid_is_not_a_number():
    rates = np.array([1.0, 10.0, 100.0])
    low, high = rate_sensitivity.good_range(rates, np.array([1.0, 1.1, np.inf]))
    assert np.isnan(low) and 10 < high < 100


def test_trainings_are_at_the_rates_that_are_drawn(out):
    found = schedules.main(out, quick=True)
    high, decayed, warm = (found[name] for name in ("high", "high, decayed linearly", "cosine with warm-up"))
    assert {name for half in schedules.HALVES for name in half} == set(found)
    assert (high.rate == schedules.HIGH).all() and high.loss.shape == (2, len(high.steps))
    np.testing.assert_allclose(decayed.rate, schedules.HIGH * (1 - np.arange(60) / 60), rtol=1e-5)
    assert warm.rate[0] == 0 and warm.rate.argmax() == 6
    np.testing.assert_array_equal(high.loss[:, 0], warm.loss[:, 0])  # the same seeds
    assert (high.loss[:, 1] == decayed.loss[:, 1]).all() and (high.loss[:, -1] != decayed.loss[:, -1]).all()
    assert (warm.loss[:, 1] == warm.loss[:, 0]).all()  # whose first rate is 0


def test_a_batch_that_doubles_ends_where_a_rate_that_falls_does(tmp_path):
    (outcome,) = batch_schedule.main(str(tmp_path / "b.png"), quick=True)
    assert (tmp_path / "b.png").stat().st_size > 10_000
    assert set(outcome.loss) == set(batch_schedule.ARMS) and outcome.loss["neither"].shape == (2, 80)
    # Before the first milestone the arms are the same training; rates and batches differ from there on.
    first = outcome.examples < 0.4 * outcome.examples[-1]
    falls, doubles, neither = (outcome.loss[name] for name in batch_schedule.ARMS)
    np.testing.assert_allclose(falls[:, first], neither[:, first], rtol=0.1)
    np.testing.assert_allclose(doubles[:, first], neither[:, first], rtol=0.1)
    assert 0.8 < outcome.doubling.best < 1.25 and np.isfinite(outcome.doubling).all()
