"""The minimum of a smooth surface through a search, and the best of its trials, against known answers."""

import numpy as np
import pytest

from lr_batch import best_of_trials, best_settings, critical_batch_size
from tests.lr_batch.searched_study import best_effective_rate, best_steps, searched_result


@pytest.fixture(scope="module")
def result():
    return searched_result()


@pytest.fixture(scope="module")
def optima(result):
    return best_settings(result)


def test_steps_and_effective_rates_are_found(optima):
    """Of 40 batch sizes made so 88 % have their steps in the interval; the seed here was not chosen by what it gives."""
    inside = []
    for row in optima:
        truth, rate = np.log(best_steps(row.batch_size)), np.log(best_effective_rate(row.batch_size))
        assert abs(np.log(row.steps) - truth) < 0.4, row
        assert abs(np.log(row.effective_rate.best) - rate) < 0.6, row
        inside.append(row.low <= np.exp(truth) <= row.high)
    assert np.mean(inside) >= 0.6


def test_intervals_are_of_a_useful_width(optima):
    assert all(1.1 < row.high / row.low < 3.0 for row in optima)


def test_the_best_others_lie_inside_their_ranges(optima):
    assert sum(len(row.edges) for row in optima) <= 1
    middle = np.median([np.log10(row.others["end_factor"]) for row in optima])
    assert abs(middle - np.log10(0.03)) < 0.7


def test_a_best_value_at_the_end_of_its_range_is_flagged():
    rows = best_settings(searched_result(3, best_end_factor=20.0, sizes=(16, 64, 256)))
    assert any(row.edges.get("end_factor") == "high" for row in rows)
    assert all(row.edges.get("end_factor") != "low" and row.others["end_factor"] > 0.5 for row in rows)


def test_the_critical_batch_size_follows_from_the_surfaces(result, optima):
    critical = critical_batch_size(result, optima=optima)
    assert critical.low < 90.0 < critical.high


def test_a_goal_that_few_seeds_reach_gives_a_bound(result):
    lost = (result.batch_size == 16) & (result.seed > 0)
    censored = result._replace(
        steps_to_goal=np.where(lost, np.nan, result.steps_to_goal),
        status=np.where(lost & (result.status == "reached"), "budget", result.status),
    )
    first = best_settings(censored._replace())[0]
    assert (first.steps, first.n_reached, first.n_seeds) == (None, 1, 4) and first.low > 100


def flat(noise, trials=50, seeds=8):
    """Settings that all need the same steps: whatever is chosen is chosen by noise."""
    made = searched_result(trials=trials, seeds=seeds, sizes=(32, 64))
    steps = np.exp(np.log(100) + noise * np.random.default_rng(0).standard_normal(made.num_trials))
    return made._replace(
        steps_to_goal=steps,
        status=np.full(made.num_trials, "reached", object),
        steps=np.full(made.num_trials, 1000),
    )


def test_the_optimism_of_the_best_of_50_equal_settings_is_that_of_the_smallest_of_50_normal_numbers():
    """The mean of the smallest of 50 standard normal numbers is -2.249 (Harter, 1961); 8 seeds, sd of the mean 0.17."""
    for row in best_of_trials(flat(0.1)):
        assert np.log(row.optimism.best) == pytest.approx(0.2249, abs=3 * 0.017)
        assert row.optimism.low < row.optimism.best < row.optimism.high
        assert np.log(row.steps.best) == pytest.approx(np.log(100) - 0.2249, abs=3 * 0.017)


def test_without_noise_the_best_of_the_trials_is_not_optimistic(result):
    exact = searched_result(noise=0.0)
    steps = exact.steps_to_goal / np.exp(0.0)
    for row in best_of_trials(exact._replace(steps_to_goal=steps)):
        assert 0.8 < row.optimism.best < 1.25  # the levels of seeds remain
        assert row.steps.best > 0.95 * best_steps(row.batch_size)


def test_settings_that_diverged_with_half_of_their_seeds_are_not_feasible(result):
    by_size = {row.batch_size: row for row in best_of_trials(result)}
    rows = result.batch_size == 16
    diverged = (result.status == "diverged") & rows & (result.seed == 0)
    assert by_size[16].infeasible == diverged.sum() > 0
    assert by_size[16].feasible + by_size[16].infeasible == 60


def test_where_nothing_is_reached_there_is_no_best_trial(result):
    nothing = result._replace(
        steps_to_goal=np.full(result.num_trials, np.nan),
        status=np.where(result.status == "reached", "budget", result.status),
    )
    assert all(row.steps is None and row.optimism is None for row in best_of_trials(nothing))


def test_a_single_seed_has_no_optimism(result):
    one = np.flatnonzero(result.seed == 0)
    alone = result._replace(
        **{
            name: getattr(result, name)[one]
            for name in ("batch_size", "seed", "steps_to_goal", "steps", "status")
        },
        hparams={name: column[one] for name, column in result.hparams.items()},
        curves=tuple(result.curves[i] for i in one),
    )
    assert all(row.optimism is None and row.steps for row in best_of_trials(alone))


def without_trials(result, left_out):
    """The same result, these trials never run."""
    kept = np.flatnonzero(~left_out)
    return result._replace(
        **{
            name: getattr(result, name)[kept]
            for name in ("batch_size", "seed", "steps_to_goal", "steps", "status")
        },
        hparams={name: column[kept] for name, column in result.hparams.items()},
        curves=tuple(result.curves[i] for i in kept),
    )


def test_optimism_is_that_of_the_seeds_that_a_setting_was_trained_with():
    made = flat(0.1)
    (whole, _), some = best_of_trials(made), made.seed == 7
    rates = next(iter(made.hparams.values()))
    (one, _) = best_of_trials(without_trials(made, some & (rates < np.median(rates))))
    assert np.log(one.optimism.best) == pytest.approx(np.log(whole.optimism.best), abs=0.05)
    assert 1 < one.optimism.low < one.optimism.high < 1.6


def test_settings_that_had_one_seed_each_have_no_optimism():
    made = flat(0.1, trials=8)
    rates = np.unique(next(iter(made.hparams.values())))
    own = np.searchsorted(rates, next(iter(made.hparams.values()))) % 8
    assert all(
        row.optimism is None and row.steps for row in best_of_trials(without_trials(made, own != made.seed))
    )
