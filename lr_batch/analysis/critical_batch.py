"""Steps to the goal against batch size: the critical batch size and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lr_batch.analysis.optimum import PRIOR_DF, Optimum, best_settings
from lr_batch.analysis.scaling_curve import SHARPNESS_RANGE, Points, fit_curve, log_steps
from lr_batch.result import Result

MIN_BATCH_SIZES, MIN_SEEDS = 4, 2
TOLERANCE = 0.2  # over linear scaling (Zhang et al., 2024), and over the plateau
CORRELATION_MAX = 0.9
RATE_ALIKE = 0.3  # log rate over which the error from not knowing the best rate is the same
SHAPE_ALIKE = 0.6  # of the variance of that error is common to all batch sizes: they share the shape


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
        low, high = np.quantile(log_steps(self.draws, log_b), _tails(self.level), axis=0)
        return Band(*np.exp([log_steps(best, log_b)[0], low, high]))


def _tails(level: float) -> tuple[float, float]:
    return 0.5 - level / 2, 0.5 + level / 2


class _Data(NamedTuple):
    """Points of the fit, their log steps (or lower bounds), and the two parts of their
    errors: from the seeds, and from not knowing the best rate."""

    points: Points
    log_y: np.ndarray
    seed_se: np.ndarray
    shape_sd: np.ndarray
    log_rate: np.ndarray


def _data(optima: Sequence[Optimum]) -> _Data:
    """Batch sizes of which anything is known; a censored one is as noisy as the noisiest that was reached."""
    usable = [o for o in optima if o.low is not None]
    noisiest = max((o for o in usable if o.steps is not None), key=lambda o: o.log_se)
    sources = [noisiest if o.steps is None else o for o in usable]
    rates = [o.learning_rate.best if o.learning_rate else 1.0 for o in sources]
    log_b = np.log([float(o.batch_size) for o in usable])
    return _Data(
        Points(log_b, np.array([o.log_se for o in sources]), np.array([o.steps is None for o in usable])),
        log_y=np.log([o.low if o.steps is None else o.steps for o in usable]),
        seed_se=np.array([o.spread / np.sqrt(o.n_reached) for o in sources]),
        shape_sd=np.array([o.shape_sd for o in sources]),
        log_rate=np.log(rates),
    )


def _seed_correlation(optima: Sequence[Optimum]) -> float:
    """Share of the variance over seeds that a seed carries through all batch sizes: their
    mean correlation, held below CORRELATION_MAX, since a few seeds correlate by chance."""
    rows = [np.log(o.seed_steps) for o in optima if o.steps is not None and o.n_reached == o.n_seeds]
    rows = [row for row in rows if len(row) == len(rows[0])]
    if len(rows) < 2:
        return 0.0
    residual = np.stack(rows) - np.mean(rows, axis=1, keepdims=True)
    total, between = (residual**2).sum(), (residual.sum(0) ** 2).sum()
    correlation = (between / max(total, 1e-12) - 1.0) / (len(rows) - 1.0)
    return float(np.clip(correlation, 0.0, CORRELATION_MAX))


def _student(rng: np.random.Generator, df: float, size: tuple[int, int]) -> np.ndarray:
    """Normal draws whose scale, one per row, is as uncertain as `df` degrees of freedom leave it."""
    return rng.standard_normal(size) / np.sqrt(rng.chisquare(df, (size[0], 1)) / df)


def _resample(
    data: _Data, optima: Sequence[Optimum], fitted: np.ndarray, num: int, rng: np.random.Generator
) -> np.ndarray:
    """Studies that might have been seen instead: log steps [num points].

    Seeds drawn with replacement under-cover: four of them have 35 multisets, and their
    spread is too small by sqrt(3/4) and as noisy as chi with 3 degrees of freedom. So
    the errors of the points are drawn instead, in three parts: one of the seeds, common
    to all batch sizes; one of each batch size, scaled by the scatter of the points
    about the curve (Birge's ratio, moderated); and one from not knowing the best rate,
    alike where the best rates are alike, because they then lie alike between the rates
    of the grid. The scales are estimates, hence Student's t.
    """
    together, points = _seed_correlation(optima), data.points
    own_se = np.sqrt(1.0 - together) * data.seed_se
    scatter = ((data.log_y - fitted) / np.hypot(own_se, data.shape_sd))[~points.censored]
    free = len(scatter) - 3
    scale = np.sqrt(((scatter**2).sum() + PRIOR_DF) / (free + PRIOR_DF))
    df = max(1, min(o.n_reached for o in optima if o.steps is not None) - 1)
    near = np.exp(-0.5 * ((data.log_rate[:, None] - data.log_rate) / RATE_ALIKE) ** 2)
    alike = SHAPE_ALIKE + (1.0 - SHAPE_ALIKE) * near
    mix = np.linalg.cholesky(alike + 1e-6 * np.eye(len(alike)))
    size = (num, len(own_se))
    error = (
        np.sqrt(together) * data.seed_se * _student(rng, df, (num, 1))
        + scale * own_se * _student(rng, free + PRIOR_DF, size)
        + max(1.0, scale) * data.shape_sd * (rng.standard_normal(size) @ mix.T)
    )
    return data.log_y + np.where(points.censored, 0.0, error)


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
        notes.append(f"the critical batch size lies {side} batch size that reached the goal: measure there")
    for edge, advice in (("low", "smaller"), ("high", "larger")):
        sizes = [str(o.batch_size) for o in optima if o.edge == edge]
        if sizes:
            where = ", ".join(sizes)
            notes.append(f"the best rate is the {edge} end of the grid at batch size {where}: try {advice}")
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
    curves are sharper or softer than that, and a fit that insists then misplaces the
    asymptotes, and B_crit = E_min / S_min with them; so a is fitted, with a weak prior around 1, and the
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
    data = _data(optima)
    best = fit_curve(data.points, data.log_y[None], sharpness)
    hyperbola = fit_curve(data.points, data.log_y[None], 1.0)
    fitted = log_steps(best, data.points.log_b)[0]
    studies = _resample(data, optima, fitted, resamples, np.random.default_rng(seed))
    draws = fit_curve(data.points, studies, sharpness)
    s_min, value, power = np.exp(best[0]).tolist()
    columns = np.column_stack([draws, draws[:, 0] + draws[:, 1]])
    low, high = np.exp(np.quantile(columns, _tails(level), axis=0)).tolist()
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
