"""The critical batch size of curves that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from lr_batch.analysis.critical_batch import critical_batch_size
from lr_batch.analysis.intervals import Estimate
from lr_batch.analysis.optimum import LeftOut, Optimum
from lr_batch.analysis.scaling_curve import Points, fit_curve, log_steps
from tests.lr_batch.known_curve import (
    BATCH_SIZES,
    RATES,
    bowl,
    draw_result,
    drop,
    edge,
    hyperbola,
    saturating,
)

LOG_B = np.log(BATCH_SIZES)
SMALL_NOISE = {"seed_sd": 0.05}
LARGE_NOISE = {"seed_sd": 0.15, "lane_sd": 0.1, "shift_sd": 0.1}
COMMON_NOISE = {"seed_sd": 0.05, "common_sd": 0.1}


def _optima(seed_steps, batch_sizes=BATCH_SIZES, bound=None, grid_sd=0.0):
    """Rows with given steps per seed [batch sizes seeds] and an exactly known best rate."""
    rows = []
    for size, steps in zip(batch_sizes, np.asarray(seed_steps, float), strict=True):
        lost = bound is not None and size in bound
        logs = np.log(steps)
        center = float(np.exp(logs.mean()))
        without = tuple(np.delete(logs, seed).mean() for seed in range(len(logs))) if len(logs) > 1 else ()
        rows.append(
            Optimum(
                batch_size=int(size),
                steps=None if lost else center,
                low=bound[size] if lost else center,
                high=None if lost else center,
                examples=None if lost else center * int(size),
                learning_rate=None if lost else Estimate(0.01 * size, 0.009 * size, 0.011 * size),
                edge=None,
                others={},
                n_seeds=len(steps),
                n_reached=0 if lost else len(steps),
                seeds=tuple(range(len(steps))),
                seed_steps=tuple(steps),
                spread=float(max(logs.std(ddof=len(steps) > 1), 0.01)),
                log_steps=LeftOut() if lost else LeftOut(logs.mean(), without, grid_sd),
                log_rate=LeftOut(),
            )
        )
    return rows


def _fit(optima, **options):
    return critical_batch_size(None, optima=optima, **options)


@pytest.mark.parametrize("sharpness", [0.7, 1.0, 2.5])
def test_curve_is_recovered_exactly(sharpness):
    points = Points(LOG_B, np.full(11, 1e-4), np.zeros(11, bool))
    truth = np.log([[30.0, 32.0, sharpness], [7.0, 100.0, sharpness]])
    fitted = fit_curve(points, log_steps(truth, LOG_B))
    np.testing.assert_allclose(fitted, truth, atol=1e-3)


def test_fixed_sharpness_is_kept_and_the_hyperbola_is_reported_beside_a_free_one():
    optima = _optima(np.repeat(hyperbola(BATCH_SIZES, sharpness=2.0)[:, None], 2, 1))
    free, fixed = _fit(optima), _fit(optima, sharpness=1.0)
    assert fixed.sharpness == fixed.sharpness_low == fixed.sharpness_high == 1.0
    assert fixed.value == free.hyperbola != free.value
    assert free.value == pytest.approx(32.0, rel=0.02)
    assert free.e_min == pytest.approx(30 * 32, rel=0.02)
    assert fixed.s_min < 29  # the published form misplaces the plateau of a sharp knee


def test_regimes_are_twenty_per_cent_over_the_asymptotes():
    fit = _fit(_optima(np.repeat(hyperbola(BATCH_SIZES)[:, None], 2, 1)))
    (until, *_), (flat, *_) = fit.regimes
    assert fit.curve([until]).steps[0] == pytest.approx(1.2 * fit.e_min / until)
    assert fit.curve([flat]).steps[0] == pytest.approx(1.2 * fit.s_min)
    assert (until, flat) == pytest.approx((0.2 * 32, 5 * 32), rel=0.05)


def test_censored_points_say_that_steps_are_more_but_not_how_many():
    steps = np.repeat(hyperbola(BATCH_SIZES)[:, None], 2, 1) * np.exp([[-0.05, 0.05]])
    whole = _fit(_optima(steps))
    weak = _fit(_optima(steps, bound={1: 10.0}))  # far below the curve: no news
    strong = _fit(_optima(steps, bound={1: 10_000.0}))  # far above it: pulls
    assert weak.value == pytest.approx(whole.value, rel=0.02)
    assert strong.value > 1.1 * whole.value
    assert not weak.reliable
    assert any("batch size 1" in note for note in weak.notes)


def test_seed_effects_on_all_batch_sizes_move_s_min_and_not_the_critical_batch_size():
    common = np.exp([[-0.2, -0.05, 0.05, 0.2]])
    own = np.exp(0.2 * np.random.default_rng(0).standard_normal((11, 4)))
    together, apart = (_fit(_optima(hyperbola(BATCH_SIZES)[:, None] * error)) for error in (common, own))
    width = lambda low, high: np.log(high / low)
    assert width(together.low, together.high) < 0.5 * width(apart.low, apart.high)
    assert width(together.s_min_low, together.s_min_high) > 0.3


STUDIES = [
    {"shape": edge, "seed_sd": 0.05},
    {"shape": edge, "seed_sd": 0.15},
    {"shape": bowl, "seed_sd": 0.05},
    {"shape": bowl, "seed_sd": 0.15},
    {"shape": drop, "seed_sd": 0.05},
    {"shape": drop, "seed_sd": 0.15},
    {"shape": edge, "seed_sd": 0.05, "common_sd": 0.1},
    {"shape": edge, "seed_sd": 0.1, "sharpness": 1.6},
]


def _covered(num_studies, key=0, sharpness=1.0, **noise):
    """Which intervals hold the true (S_min, B_crit, E_min, sharpness) [studies 4], the grid shifted at random."""
    rng, hits = np.random.default_rng(key), []
    for study in range(num_studies):
        rates = saturating(BATCH_SIZES, np.exp(rng.uniform(-0.28, 0.28)))
        steps = hyperbola(BATCH_SIZES, sharpness=sharpness)
        fit = critical_batch_size(draw_result((key, study), steps=steps, rates=rates, **noise))
        low = fit.s_min_low, fit.low, fit.e_min_low, fit.sharpness_low
        high = fit.s_min_high, fit.high, fit.e_min_high, fit.sharpness_high
        truth = 30, 32, 960, sharpness
        hits.append(np.less_equal(low, truth) & np.less_equal(truth, high))
    return np.array(hits)


def test_intervals_cover():
    """6 studies, 90 % intervals: 3 or more of 6 missing happens by chance in 1.6 % per quantity."""
    assert (_covered(6, seed_sd=0.1, lane_sd=0.05).mean(0) > 0.5).all()


@pytest.mark.slow
@pytest.mark.parametrize("noise", [LARGE_NOISE, COMMON_NOISE])
def test_intervals_cover_under_much_noise(noise):
    """60 studies: fewer than 80 % of 90 % intervals happens by chance in 0.6 % of cases."""
    assert (_covered(60, **noise).mean(0) > 0.8).all()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_intervals_cover_as_often_as_they_say():
    """320 studies of valleys, cliffs and steep edges, with little and much noise: 90 % intervals cover 85 % or more.

    Fails by chance in 1 % of cases where a quantity is covered just 85 % of the time. These shapes are those of the
    fit, so that the grid of rates leaves less open than on real trials, by which its error was chosen
    (`python -m runs.recipes.coverage`): B_crit is covered 99 %, which is the most that is let pass.
    """
    covered = np.concatenate([_covered(40, key=key, **study) for key, study in enumerate(STUDIES)])
    print("covered: S_min, B_crit, E_min, sharpness", covered.mean(0))
    assert (covered.sum(0) >= binom.ppf(0.01, len(covered), 0.85)).all()
    assert (covered.mean(0) <= 0.99).all()


def test_band_holds_the_curve_and_a_critical_batch_size_outside_is_unreliable():
    sizes = BATCH_SIZES[:5]
    steps = hyperbola(sizes, b_crit=512.0)[:, None] * np.exp([[-0.03, 0.03]])
    fit = _fit(_optima(steps, sizes))
    band = fit.curve(sizes)
    assert (band.low < band.steps).all()
    assert (band.steps < band.high).all()
    assert not fit.reliable
    assert "above the largest" in fit.notes[0]


def test_best_rate_at_the_edge_is_unreliable():
    fit = critical_batch_size(draw_result(0, grid=RATES[RATES < 0.3]))
    assert not fit.reliable
    assert any("high end of the grid" in note for note in fit.notes)


@pytest.mark.parametrize(
    ("optima", "options", "message"),
    [
        (_optima(np.ones((3, 2)), BATCH_SIZES[:3]), {}, "at least 4 batch sizes .* got 3 of 3"),
        (_optima(np.ones((11, 1)) + 1), {}, "at least 2 seeds, got 1"),
        (_optima(np.ones((11, 2))), {"level": 90}, r"level must be in \(0, 1\), got 90"),
        (_optima(np.ones((11, 2))), {"sharpness": 0.0}, r"sharpness must be in \[0.3, 6.0\], got 0.0"),
    ],
)
def test_refuses(optima, options, message):
    with pytest.raises(ValueError, match=message):
        _fit(optima, **options)
