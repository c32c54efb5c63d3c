"""Steps to the goal against batch size: the critical batch size and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import expit, log_ndtr

from lr_batch.optimum import PRIOR_DF, Optimum, best_settings
from lr_batch.result import Result

MIN_BATCH_SIZES, MIN_SEEDS = 4, 2
TOLERANCE = 0.2  # over linear scaling (Zhang et al., 2024), and over the plateau
SHARPNESS_SD = 0.5  # of the normal prior on log sharpness, around the published hyperbola
SHARPNESS_RANGE = (0.3, 6.0)
MARGIN = np.log(8.0)  # how far outside the measured batch sizes B_crit is looked for


class Regimes(NamedTuple):
    """`perfect_scaling_until`: largest batch size whose steps exceed perfect scaling
    (E_min / B) by at most 20 %; `flat_from`: smallest one within 20 % of S_min."""

    perfect_scaling_until: float
    flat_from: float


class Band(NamedTuple):
    """Fitted steps with a pointwise interval."""

    steps: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]


class CriticalBatchSize(NamedTuple):
    """S(B) = s_min (1 + (value / B)^sharpness)^(1 / sharpness).

    `value` is B_crit = E_min / S_min in examples per step, `s_min` in steps,
    `e_min` in examples; each with the bounds of its interval at `level`.
    `hyperbola` is B_crit under the published form, sharpness 1. `optima` are the
    points of the fit; `draws` are resampled (log s_min, log value, log sharpness).
    Where not `reliable`, `notes` say why.
    """

    value: float
    low: float
    high: float
    s_min: float
    s_min_low: float
    s_min_high: float
    e_min: float
    e_min_low: float
    e_min_high: float
    sharpness: float
    sharpness_low: float
    sharpness_high: float
    hyperbola: float
    regimes: Regimes
    level: float
    optima: tuple[Optimum, ...]
    reliable: bool
    notes: tuple[str, ...]
    draws: Float[np.ndarray, "resamples 3"]

    def curve(self, batch_size: Float[np.ndarray, " n"]) -> Band:
        """Fitted steps at any batch sizes, with the pointwise interval of the resamples."""
        log_b = np.log(np.asarray(batch_size, float))
        best = np.log([[self.s_min, self.value, self.sharpness]])
        low, high = np.quantile(_log_steps(self.draws, log_b), _tails(self.level), axis=0)
        return Band(*np.exp([_log_steps(best, log_b)[0], low, high]))


def _tails(level: float) -> tuple[float, float]:
    return 0.5 - level / 2, 0.5 + level / 2


def _log_steps(parameters: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """log S [fits points] for rows of (log s_min, log b_crit, log sharpness)."""
    log_s, log_crit, log_a = np.moveaxis(parameters[..., None], -2, 0)
    a = np.exp(log_a)
    return log_s + np.logaddexp(0.0, a * (log_crit - log_b)) / a


def _jacobian(parameters: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """d log S / d parameters [fits points 3]."""
    _, log_crit, log_a = np.moveaxis(parameters[..., None], -2, 0)
    a = np.exp(log_a)
    linear = expit(a * (log_crit - log_b))  # 1 where scaling is perfect, 0 on the plateau
    by_sharpness = linear * (log_crit - log_b) - np.logaddexp(0.0, a * (log_crit - log_b)) / a
    return np.stack([np.ones_like(linear), linear, by_sharpness], axis=-1)


def _start(log_b: np.ndarray, log_y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Best parameters [fits 3] on a coarse grid of B_crit and sharpness; S_min in closed form."""
    log_crit = np.arange(log_b.min() - MARGIN, log_b.max() + MARGIN, 0.25)
    log_a = np.log([0.6, 1.0, 1.6, 2.5])
    grid = np.stack(np.meshgrid(0.0, log_crit, log_a, indexing="ij"), -1).reshape(-1, 3)
    shape = _log_steps(grid, log_b)
    share = weight / weight.sum()
    shape = shape - (shape @ share)[:, None]
    # Sum of squares after the level is taken out, up to a constant per fit.
    cost = (shape**2) @ weight - 2.0 * (log_y * weight) @ shape.T
    best = grid[cost.argmin(1)]
    best[:, 0] = (log_y - _log_steps(best, log_b)) @ share
    return best


def _cost(parameters: np.ndarray, log_b: np.ndarray, log_y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    prior = (parameters[:, 2] / SHARPNESS_SD) ** 2
    return ((log_y - _log_steps(parameters, log_b)) ** 2) @ weight + prior


def fit_curve(
    log_b: Float[np.ndarray, " points"],
    log_y: Float[np.ndarray, "fits points"],
    weight: Float[np.ndarray, " points"],
    sharpness: float | None = None,
) -> Float[np.ndarray, "fits 3"]:
    """Weighted least squares in log steps, many data sets at once (Levenberg-Marquardt).

    Args:
      log_b: log batch sizes.
      log_y: log steps, one row per data set.
      weight: inverse variances of the points.
      sharpness: fixed exponent a, or None to fit it.

    Returns:
      Rows of (log s_min, log b_crit, log a).
    """
    low = np.array([-np.inf, log_b.min() - MARGIN, np.log(SHARPNESS_RANGE[0])])
    high = np.array([np.inf, log_b.max() + MARGIN, np.log(SHARPNESS_RANGE[1])])
    if sharpness is not None:
        low[2] = high[2] = np.log(sharpness)
    best = np.clip(_start(log_b, log_y, weight), low, high)
    cost, damping = _cost(best, log_b, log_y, weight), np.full(len(log_y), 1e-3)
    for _ in range(25):
        slope = _jacobian(best, log_b) * (low < high)  # a fixed parameter has no slope
        gradient = np.einsum("fpk,fp->fk", slope, weight * (log_y - _log_steps(best, log_b)))
        gradient[:, 2] -= best[:, 2] / SHARPNESS_SD**2
        hessian = np.einsum("fpk,p,fpl->fkl", slope, weight, slope) + np.diag([0.0, 0.0, SHARPNESS_SD**-2])
        diagonal = np.einsum("fkk->fk", hessian) * damping[:, None] + 1e-9
        step = np.linalg.solve(hessian + diagonal[..., None] * np.eye(3), gradient[..., None])[..., 0]
        trial = np.clip(best + step, low, high)
        trial_cost = _cost(trial, log_b, log_y, weight)
        better = trial_cost <= cost
        best, cost = np.where(better[:, None], trial, best), np.where(better, trial_cost, cost)
        damping = np.where(better, damping * 0.2, damping * 8.0)
    return best


class _Points(NamedTuple):
    """Points of the fit: log steps, or where `censored` the log of their lower bound;
    their standard errors, and the part of these that comes from the seeds."""

    log_b: np.ndarray
    log_y: np.ndarray
    se: np.ndarray
    seed_se: np.ndarray
    censored: np.ndarray


def _points(optima: Sequence[Optimum]) -> _Points:
    """A censored point is as noisy as the noisiest that was reached."""
    usable = [o for o in optima if o.low is not None]
    worst = max(o.log_se for o in usable if o.steps is not None)
    se = np.array([worst if o.steps is None else o.log_se for o in usable])
    return _Points(
        log_b=np.log([float(o.batch_size) for o in usable]),
        log_y=np.log([o.low if o.steps is None else o.steps for o in usable]),
        se=se,
        seed_se=np.sqrt(se**2 - np.array([0.0 if o.steps is None else o.shape_sd for o in usable]) ** 2),
        censored=np.array([o.steps is None for o in usable]),
    )


def _fit_censored(points: _Points, log_y: np.ndarray, sharpness: float | None) -> np.ndarray:
    """`fit_curve` with censored points at their expectation given the fit (EM for the Tobit likelihood)."""
    weight, filled = points.se**-2.0, log_y
    parameters = fit_curve(points.log_b, filled, weight, sharpness)
    for _ in range(15 if points.censored.any() else 0):
        mean = _log_steps(parameters, points.log_b)
        gap = (log_y - mean) / points.se
        hazard = np.exp(-0.5 * gap**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(-gap))
        filled = np.where(points.censored, mean + points.se * hazard, log_y)
        parameters = fit_curve(points.log_b, filled, weight, sharpness)
    return parameters


def _seed_correlation(optima: Sequence[Optimum]) -> float:
    """How much of the spread over seeds a seed carries through all batch sizes: the mean
    correlation between batch sizes, in [0, 1]."""
    rows = [np.log(o.seed_steps) for o in optima if o.n_reached == o.n_seeds and o.n_seeds >= MIN_SEEDS]
    rows = [row for row in rows if len(row) == len(rows[0])]
    if len(rows) < 2:
        return 0.0
    residual = np.stack(rows) - np.mean(rows, axis=1, keepdims=True)
    num_rows, total = len(rows), (residual**2).sum()
    if total == 0:
        return 0.0
    between = (residual.sum(0) ** 2).sum()
    return float(np.clip((between / total - 1.0) / (num_rows - 1.0), 0.0, 1.0))


def _resample(
    points: _Points, optima: Sequence[Optimum], fitted: np.ndarray, num: int, rng: np.random.Generator
) -> np.ndarray:
    """Studies that might have been seen instead: log steps [num points].

    Seeds drawn with replacement under-cover: four of them have 35 multisets, and their
    spread is too small by sqrt(3/4) and as noisy as chi with 3 degrees of freedom. So
    the errors of the points are drawn instead: one part of each is common to all batch
    sizes, because seeds are; the rest is scaled by the scatter of the points about the
    curve (Birge's ratio, moderated), which also holds what the seeds cannot show: where
    the best rate fell between two rates of the grid, and that the curve is not exact.
    Both scales are estimates, hence Student's t.
    """
    free = (~points.censored).sum() - 3
    shared_se = np.sqrt(_seed_correlation(optima)) * points.seed_se
    own_se = np.sqrt(points.se**2 - shared_se**2)
    scatter = ((points.log_y - fitted) / own_se)[~points.censored]
    scale = np.sqrt(((scatter**2).sum() + PRIOR_DF) / (free + PRIOR_DF))
    df = max(1, min(o.n_reached for o in optima if o.steps is not None) - 1)
    own = scale * own_se * _student(rng, free + PRIOR_DF, (num, len(own_se)))
    shared = shared_se * _student(rng, df, (num, 1))
    return points.log_y + np.where(points.censored, 0.0, own + shared)


def _student(rng: np.random.Generator, df: float, size: tuple[int, int]) -> np.ndarray:
    """Normal draws whose common scale, one per row, is as uncertain as `df` degrees of freedom leave it."""
    return rng.standard_normal(size) / np.sqrt(rng.chisquare(df, (size[0], 1)) / df)


def _regimes(value: float, sharpness: float) -> Regimes:
    """Where (1 + (value / B)^(+-a))^(1/a) = 1.2 on either side of the knee."""
    ratio = ((1.0 + TOLERANCE) ** sharpness - 1.0) ** (1.0 / sharpness)
    return Regimes(value * ratio, value / ratio)


def _notes(value: float, optima: Sequence[Optimum]) -> tuple[str, ...]:
    """Reasons not to trust the fit."""
    reached = [o.batch_size for o in optima if o.steps is not None]
    notes = []
    if not min(reached) <= value <= max(reached):
        side = "below the smallest" if value < min(reached) else "above the largest"
        notes.append(f"the critical batch size lies {side} batch size that reached the goal: add batch sizes there")
    for edge, advice in (("low", "smaller"), ("high", "larger")):
        sizes = [str(o.batch_size) for o in optima if o.edge == edge]
        if sizes:
            notes.append(f"the best rate is the {edge} end of the grid at batch size {', '.join(sizes)}: add {advice} rates")
    lost = [str(o.batch_size) for o in optima if o.steps is None]
    if lost:
        notes.append(f"fewer than half of the seeds reached the goal at batch size {', '.join(lost)}")
    return tuple(notes)


def _check(optima: Sequence[Optimum], level: float, resamples: int, sharpness: float | None) -> None:
    if not 0 < level < 1:
        raise ValueError(f"critical_batch_size: level must be in (0, 1), got {level}")
    if resamples < 100:
        raise ValueError(f"critical_batch_size: resamples must be >= 100, got {resamples}")
    low, high = SHARPNESS_RANGE
    if sharpness is not None and not low <= sharpness <= high:
        raise ValueError(f"critical_batch_size: sharpness must be in [{low}, {high}], got {sharpness}")
    reached = [o for o in optima if o.steps is not None]
    if len(reached) < MIN_BATCH_SIZES:
        raise ValueError(
            f"critical_batch_size: needs at least {MIN_BATCH_SIZES} batch sizes that reached the goal, "
            f"got {len(reached)} of {len(optima)}"
        )
    seeds = min(o.n_seeds for o in reached)
    if seeds < MIN_SEEDS:
        raise ValueError(f"critical_batch_size: needs at least {MIN_SEEDS} seeds, got {seeds}")


def critical_batch_size(
    result: Result,
    *,
    level: float = 0.9,
    resamples: int = 1000,
    seed: int = 0,
    sharpness: float | None = None,
    optima: Sequence[Optimum] | None = None,
) -> CriticalBatchSize:
    """Fit S(B) = S_min (1 + (B_crit / B)^a)^(1/a) to the best steps of every batch size.

    a = 1 is the published hyperbola (McCandlish et al., 2018). The knees of measured
    curves are sharper or softer than that, and a fit that insists then misplaces
    B_crit = E_min / S_min; so a is fitted, with a weak prior around 1, and the
    hyperbola's B_crit is reported beside it. `sharpness=1.0` insists.

    Least squares in log steps, weighted by the errors of the points; batch sizes
    that did not reach the goal are censored at their bound (Tobit). Intervals are
    quantiles of refits to resampled studies (see `_resample`).

    Args:
      result: trials with at least 4 batch sizes that reached the goal and 2 seeds.
      level: coverage of the intervals, in (0, 1).
      resamples: refits, >= 100.
      seed: of the resampling.
      sharpness: fixed a in [0.3, 6], or None to fit it.
      optima: `best_settings(result)` where it is known already.
    """
    optima = tuple(best_settings(result, level=level) if optima is None else optima)
    _check(optima, level, resamples, sharpness)
    points = _points(optima)
    best = _fit_censored(points, points.log_y[None], sharpness)
    hyperbola = best if sharpness == 1.0 else _fit_censored(points, points.log_y[None], 1.0)
    rng = np.random.default_rng(seed)
    studies = _resample(points, optima, _log_steps(best, points.log_b)[0], resamples, rng)
    draws = _fit_censored(points, studies, sharpness)
    s_min, value, power = np.exp(best[0]).tolist()
    low, high = np.exp(np.quantile(np.column_stack([draws, draws[:, 0] + draws[:, 1]]), _tails(level), axis=0)).tolist()
    notes = _notes(value, optima)
    return CriticalBatchSize(
        value=value,
        low=low[1],
        high=high[1],
        s_min=s_min,
        s_min_low=low[0],
        s_min_high=high[0],
        e_min=s_min * value,
        e_min_low=low[3],
        e_min_high=high[3],
        sharpness=power,
        sharpness_low=low[2],
        sharpness_high=high[2],
        hyperbola=float(np.exp(hyperbola[0, 1])),
        regimes=_regimes(value, power),
        level=level,
        optima=optima,
        reliable=not notes,
        notes=notes,
        draws=draws,
    )
