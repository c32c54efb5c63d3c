"""Best settings of studies drawn from a known curve."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.special import log_ndtr

from lr_batch.analysis import rate_costs, rate_fit, rate_shapes
from lr_batch.analysis.best_settings import best_settings
from lr_batch.analysis.censoring import censored_mean
from lr_batch.result import BUDGET, DIVERGED, Result
from tests.lr_batch import known_curve
from tests.lr_batch.known_curve import BATCH_SIZES, RATES, draw_result, hyperbola, saturating


def _changed(result, **columns):
    return Result(**{**result._asdict(), **columns})


@pytest.mark.parametrize("shape", [known_curve.edge, known_curve.drop])
def test_basins_have_their_minimum_at_zero(shape):
    offset = np.linspace(-1, 0.15, 116)
    assert offset[shape(offset).argmin()] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "family", [rate_shapes.cliff, rate_shapes.valley, rate_shapes.bowl, partial(rate_shapes.bowl, skew=-1.0)]
)
def test_families_are_zero_and_flat_at_the_best_rate_and_slopes_are_derivatives(family):
    sharpness, step = np.array([0.3, 2.0, 20.0])[:, None], 1e-5
    value, slope = family(np.zeros(1), sharpness)
    np.testing.assert_allclose(value, 0.0, atol=1e-12)
    np.testing.assert_allclose(slope, 0.0, atol=1e-9)
    at = np.array([-2.0, -0.5, 0.01])
    numeric = (family(at + step, sharpness)[0] - family(at - step, sharpness)[0]) / (2 * step)
    np.testing.assert_allclose(family(at, sharpness)[1], numeric, atol=1e-6)


@pytest.mark.parametrize("skew", [-1e-4, 1e-4])
def test_bowl_with_little_skew_is_a_parabola(skew):
    offset, curvature = np.linspace(-2, 2, 9), np.array([[0.25], [4.0]])
    for skewed, parabola in zip(
        rate_shapes.bowl(offset, curvature, skew), rate_shapes.bowl(offset, curvature), strict=True
    ):
        np.testing.assert_allclose(skewed, parabola, atol=2e-3)


def test_noise_free_study_is_recovered():
    rates = saturating(BATCH_SIZES)
    result = draw_result(0, rates=rates, seed_sd=0.0, lane_sd=0.0, shift_sd=0.0)
    optima = best_settings(result)
    np.testing.assert_allclose([o.steps for o in optima], hyperbola(BATCH_SIZES), rtol=0.08)
    np.testing.assert_allclose([o.learning_rate.best for o in optima], rates, rtol=0.12)
    assert all(o.edge is None and o.n_reached == 4 for o in optima)
    assert all(o.learning_rate.low < o.learning_rate.best < o.learning_rate.high for o in optima)


def _covered(num_studies, shape, **noise):
    """Shares of (steps, rate) intervals that hold the truth, the grid shifted at random."""
    rng, hits = np.random.default_rng(1), []
    for key in range(num_studies):
        rates = saturating(BATCH_SIZES, np.exp(rng.uniform(-0.28, 0.28)))
        optima = best_settings(draw_result(key, shape, rates=rates, **noise))
        for o, steps, rate in zip(optima, hyperbola(BATCH_SIZES), rates, strict=True):
            hits.append((o.low <= steps <= o.high, o.learning_rate.low <= rate <= o.learning_rate.high))
    return np.mean(hits, axis=0)


def test_intervals_cover():
    """5 studies of 11 batch sizes, 90 % intervals: fewer than 75 % would happen by chance once in 500
    even if all errors of a study were half shared."""
    steps, rate = _covered(5, known_curve.edge, seed_sd=0.1, lane_sd=0.05, shift_sd=0.05)
    assert steps > 0.75
    assert rate > 0.75


@pytest.mark.slow
@pytest.mark.parametrize("shape", [known_curve.edge, known_curve.bowl, known_curve.skewed])
@pytest.mark.parametrize("noise", [{"seed_sd": 0.05}, {"seed_sd": 0.15, "lane_sd": 0.1, "shift_sd": 0.1}])
def test_intervals_cover_in_many_studies(shape, noise):
    steps, rate = _covered(60, shape, **noise)
    assert steps > 0.82
    assert rate > 0.78


def test_steps_are_a_few_per_cent_high_where_no_shape_fits():
    """And not more than that; 4 % over 60 studies."""
    errors = []
    for key in range(4):
        optima = best_settings(draw_result(key, known_curve.lopsided, seed_sd=0.05))
        errors.append(np.log([o.steps for o in optima] / hyperbola(BATCH_SIZES)))
    assert 0.0 < np.mean(errors) < 0.07


def test_goal_never_reached_is_a_lower_bound():
    result = draw_result(0)
    lost = result.batch_size == 4
    result = _changed(
        result,
        steps_to_goal=np.where(lost, np.nan, result.steps_to_goal),
        steps=np.where(lost, 700, result.steps),
        status=np.where(lost, BUDGET, result.status),
    )
    row = {o.batch_size: o for o in best_settings(result)}[4]
    assert (row.steps, row.high, row.learning_rate, row.n_reached) == (None, None, None, 0)
    assert row.low == pytest.approx(700)


def test_all_diverged_bounds_nothing():
    result = draw_result(0)
    result = _changed(
        result,
        steps_to_goal=np.full(result.num_trials, np.nan),
        status=np.full(result.num_trials, DIVERGED),
    )
    assert all(o.steps is None and o.low is None for o in best_settings(result))


def test_optimum_at_the_end_of_the_grid_is_flagged():
    full, low, high = (
        best_settings(draw_result(0, known_curve.bowl, grid=grid))
        for grid in (RATES, RATES[RATES > 0.06], RATES[RATES < 0.3])
    )
    assert {o.edge for o in low if o.batch_size <= 2} == {"low"}
    assert {o.edge for o in high if o.batch_size >= 64} == {"high"}
    assert {o.edge for o in full} == {None}


def test_other_hyperparameters_take_their_best_value():
    fast, slow = draw_result(0), draw_result(1, steps=1.5 * hyperbola(BATCH_SIZES))
    both = {
        name: np.concatenate([getattr(fast, name), getattr(slow, name)])
        for name in ("batch_size", "seed", "steps_to_goal", "steps", "status")
    }
    momentum = np.repeat([0.9, 0.0], fast.num_trials)
    rate = np.tile(fast.hparams["learning_rate"], 2)
    optima = best_settings(_changed(fast, hparams={"learning_rate": rate, "momentum": momentum}, **both))
    assert all(dict(o.others) == {"momentum": 0.9} for o in optima)
    assert [o.steps for o in optima] == [o.steps for o in best_settings(fast)]


def test_a_study_without_rates_still_has_steps():
    single = draw_result(0, rates=np.full(11, RATES[8]), grid=RATES[8:9])
    optima = best_settings(_changed(single, hparams={}))
    np.testing.assert_allclose([o.steps for o in optima], hyperbola(BATCH_SIZES), rtol=0.25)
    assert {(o.learning_rate, o.edge) for o in optima} == {(None, None)}


def test_level_of_a_seed_is_the_maximum_of_its_tobit_likelihood():
    """Lanes that the race cut would otherwise leave the lucky ones to set the level."""
    log_steps, log_bound = np.array([np.nan, 0.05, 0.1, np.nan]), np.array([0.6, 0.7, 0.7, 0.7])
    cells = rate_fit.RateCells(np.array([-1.0, -0.5, 0.0, 0.1]), log_steps[None], log_bound[None])
    center, shape, sd = 57, 5, 0.2
    value, slope = rate_shapes.basins(cells.log_rate - rate_fit._centers(cells)[center])
    value, slope = value[shape], slope[shape]
    shift = np.minimum(rate_costs.SHIFT_SD * np.maximum(slope, 0.0), 0.5)
    lane_sd = np.sqrt(sd**2 + shift**2 + (rate_costs.MISFIT * value) ** 2)
    levels = np.linspace(-1, 1, 8001)
    gap = (np.where(np.isnan(log_steps), log_bound, log_steps) - levels[:, None] - value) / lane_sd
    log_likelihood = np.where(np.isnan(log_steps), log_ndtr(-gap), -0.5 * gap**2).sum(1)
    best = levels[log_likelihood.argmax()]
    lucky = np.average((log_steps - value)[1:3], weights=lane_sd[1:3] ** -2)
    assert best - lucky > 0.02
    grid = rate_fit._grid(cells, sd)
    levels = grid.costs.levels.reshape(*grid.likely.shape, 1)
    assert levels[center, shape, 0] == pytest.approx(best, abs=0.003)


def test_hopeless_models_are_left_out_of_many_seeds_and_nothing_else_changes(monkeypatch):
    rng, log_rate, seeds = np.random.default_rng(0), np.linspace(-4.0, 0.5, 24), np.arange(40)
    steps = rate_shapes.cliff(log_rate, np.asarray(3.0))[0] + 0.1 * rng.standard_normal((40, 24))
    reached = np.isfinite(steps) & (steps < 1.0)
    cells = rate_fit.RateCells(log_rate, np.where(reached, steps, np.nan), np.ones_like(steps))
    (fewer,) = rate_fit.fit_rates([cells], [seeds], range(40))
    assert rate_fit._grid(cells, 0.1).likely.mean() < 0.3
    monkeypatch.setattr(rate_fit, "PILOT_SEEDS", len(seeds))
    (every,) = rate_fit.fit_rates([cells], [seeds], range(40))
    for one, other in zip(fewer, every, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_censored_mean_is_the_maximum_of_its_likelihood():
    values, bounds = np.array([1.0, 1.4, np.nan]), np.array([0.0, 0.0, 1.8])
    mean, filled = censored_mean(values, bounds, 0.3)
    grid = np.linspace(0.5, 2.5, 4001)
    log_likelihood = -0.5 * (((values[:2, None] - grid) / 0.3) ** 2).sum(0)
    log_likelihood += log_ndtr((grid - 1.8) / 0.3)
    assert mean == pytest.approx(grid[log_likelihood.argmax()], abs=1e-3)
    assert filled[2] > 1.8


def test_level_is_checked():
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\), got 1"):
        best_settings(draw_result(0), level=1)


COARSE_RATES = np.geomspace(0.01, 1.0, 4)
NEVER = np.nan
# Measured on digits_mlp with SGD: two seeds, rates a factor of 4.6 apart.
COARSE_STEPS = {
    4: [[NEVER, 919.52, 666.80, NEVER], [NEVER, 956.40, 547.73, NEVER]],
    16: [[NEVER, NEVER, 209.52, 239.20], [NEVER, NEVER, 224.17, 287.96]],
    64: [[NEVER, NEVER, NEVER, 75.049], [NEVER, NEVER, 188.51, 97.430]],
}


@pytest.mark.parametrize("slack", np.linspace(1.2, 2.0, 5))
def test_steps_lie_near_the_measured_ones_where_a_seed_has_one_reached_rate(slack):
    log_steps = [np.log(steps) for steps in COARSE_STEPS.values()]
    cells = [
        rate_fit.RateCells(
            np.log(COARSE_RATES), steps, np.tile(np.nanmin(steps, axis=1)[:, None] + np.log(slack), 4)
        )
        for steps in log_steps
    ]
    for steps, fit in zip(log_steps, rate_fit.fit_rates(cells, [np.arange(2)] * 3, [0, 1]), strict=True):
        assert (np.abs(fit.log_steps - np.nanmin(steps, axis=1)) < np.log(3)).all()


def test_further_hyperparameters_of_a_grid_are_flagged_at_their_ends():
    one, other = draw_result(0), draw_result(0)
    slower = other.steps_to_goal * 1.5
    both = {name: np.concatenate([column, column]) for name, column in one.hparams.items()}
    result = _changed(
        one,
        hparams={
            **both,
            "momentum": np.repeat([0.9, 0.5], one.num_trials),
            "nesterov": np.zeros(2 * one.num_trials),
        },
        steps_to_goal=np.concatenate([one.steps_to_goal, slower]),
        **{
            name: np.concatenate([getattr(one, name)] * 2)
            for name in ("batch_size", "seed", "steps", "status")
        },
        curves=one.curves * 2,
    )
    assert {tuple(row.edges.items()) for row in best_settings(result)} == {(("momentum", "high"),)}
    assert {row.edges == {} for row in best_settings(one)} == {True}


def test_a_grid_leaves_open_what_its_distance_does_however_sure_the_shapes_are():
    """Lanes without noise: the errors of steps and of the best rate are those of the grid, not of the seeds."""
    result = draw_result(0, seed_sd=0.0, lane_sd=0.0, shift_sd=0.0)
    spacing = np.log(RATES[1] / RATES[0])
    for row in best_settings(result):
        assert row.log_rate.grid_sd >= 0.119 * spacing
        assert row.log_steps.grid_sd >= 0.139 * spacing**2
