"""Steps to the goal against batch size: the critical batch size and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from lr_batch.analysis.best_settings import best_settings
from lr_batch.analysis.curve_test import CurveTest, test_curve
from lr_batch.analysis.intervals import LEVEL, Estimate, Replicates, difference, exp_estimates, p_values
from lr_batch.analysis.measured_curve import TOLERANCE, MeasuredCurve, measured_curve, point_replicates
from lr_batch.analysis.optimum import Optimum, study_seeds
from lr_batch.analysis.scaling_curve import SHARPNESS_RANGE, Points, fit_curve, log_steps
from lr_batch.result import Result
from optim.arguments import explain_arguments
from optim.names import listed

MIN_BATCH_SIZES, MIN_SEEDS = 4, 2
GRID_MAX = 0.1  # error of log steps from the grid of rates: 2.3 times between neighbours


class Regimes(NamedTuple):
    """Limits of the regimes, in examples per step, each with its interval.

    `perfect_scaling_until`: largest batch size whose steps exceed perfect scaling (E_min / B) by at most 20 %;
    between the two there are diminishing returns; `flat_from`: smallest batch size within 20 % of S_min, from which
    on there is maximal data parallelism. A limit outside the measured batch sizes is extrapolated: say "above" or
    "below" them (`within`).
    """

    perfect_scaling_until: Estimate
    flat_from: Estimate


class Band(NamedTuple):
    """Fitted steps with a pointwise interval."""

    steps: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]


class CriticalBatchSize(NamedTuple):
    """S(B) = s_min (1 + (value / B)^sharpness)^(1 / sharpness).

    Attributes:
      value, low, high: B_crit = E_min / S_min in examples per step, with its interval. Steps there are
        2^(1/sharpness) times the fewest.
      s_min, e_min, sharpness: fewest steps, fewest examples and a, each with `_low` and `_high`. Where batches grow, all
        of it is in batch sizes that trials begin with, and `e_min` is no number of examples.
      hyperbola: B_crit under the published form, sharpness 1.
      regimes: where perfect scaling ends and maximal data parallelism begins.
      measured: what holds whether or not the curve fits: slopes between neighbours, where linear scaling ends.
      test: whether the curve fits.
      level: coverage of the intervals.
      optima: the points of the fit.
      seeds: of the study, ascending.
      range: smallest and largest batch size that reached the goal.
      reliable, notes: whether to trust it, and why not.
      parameters: log of (s_min, value, sharpness), from all seeds, without each seed, and shifted.
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
    measured: MeasuredCurve
    test: CurveTest
    level: float
    optima: tuple[Optimum, ...]
    seeds: tuple[int, ...]
    range: tuple[int, int]
    reliable: bool
    notes: tuple[str, ...]
    parameters: Replicates

    def __repr__(self) -> str:
        parts = (
            ("", self.value, self.low, self.high),
            ("s_min ", self.s_min, self.s_min_low, self.s_min_high),
        )
        said = ", ".join(f"{name}{best:.3g} ({low:.3g} to {high:.3g})" for name, best, low, high in parts)
        return f"CriticalBatchSize({said}, {'' if self.reliable else 'not '}reliable)"

    def curve(self, batch_size: Sequence[float] | Num[np.ndarray, " n"]) -> Band:
        """Fitted steps at any batch sizes, with their pointwise interval."""
        log_b = np.log(np.asarray(batch_size, float))
        rows = exp_estimates(self.parameters.map(lambda p: log_steps(p, log_b)), self.level)
        return Band(*np.array(rows).T)


def _limits(parameters: np.ndarray) -> np.ndarray:
    """Log batch sizes where (1 + (value / B)^(+-a))^(1/a) = 1 + TOLERANCE on either side of the knee."""
    log_value, a = parameters[:, 1], np.exp(parameters[:, 2])
    ratio = np.log((1.0 + TOLERANCE) ** a - 1.0) / a
    return np.stack([log_value + ratio, log_value - ratio], axis=1)


PRINTED: tuple[str, ...] = ("s_min", "critical_batch_size", "sharpness", "e_min")


def _printed(parameters: np.ndarray) -> np.ndarray:
    """Logs of `PRINTED` and of both limits."""
    e_min = parameters[:, :1] + parameters[:, 1:2]
    return np.concatenate([parameters, e_min, _limits(parameters)], axis=1)


def _fit(
    points: Points, replicates: Replicates, sharpness: float | None
) -> tuple[Points, Replicates, np.ndarray]:
    """(points that enter, fitted parameters, which points enter).

    A lower bound above what the curve of the other batch sizes gives contradicts the form: steps do not rise with
    the batch size. It does not enter the fit.
    """
    entering = np.ones(len(points.log_b), bool)
    if points.censored.any():
        seen = ~points.censored
        others = fit_curve(_take(points, seen), replicates.best[None, seen], sharpness)
        bound_holds = replicates.best <= log_steps(others, points.log_b)[0] + 2.0 * points.se
        largest = points.log_b[seen].max()
        entering = seen | bound_holds | (points.log_b < largest)
    points = _take(points, entering)
    rows = np.concatenate([replicates.best[None], replicates.without, replicates.shifts])[:, entering]
    fitted = fit_curve(points, rows, sharpness)
    n = 1 + len(replicates.without)
    return points, Replicates(fitted[0], fitted[1:n], fitted[n:]), entering


def _take(points: Points, chosen: np.ndarray) -> Points:
    return Points(*(column[chosen] for column in points))


def _notes(critical: Estimate, optima: Sequence[Optimum], entering: Sequence[int]) -> tuple[str, ...]:
    """Reasons in the study not to trust the fit."""
    reached = [o.batch_size for o in optima if o.steps is not None]
    notes, of = [], "range" if any(o.searched for o in optima) else "grid"
    if not min(reached) <= critical.best <= max(reached):
        side = "below the smallest" if critical.best < min(reached) else "above the largest"
        notes.append(f"the critical batch size lies {side} batch size that reached the goal: measure there")
    for edge, advice in (("low", "smaller"), ("high", "larger")):
        sizes = [o.batch_size for o in optima if o.edge == edge]
        if sizes:
            where = listed("batch size", sizes)
            notes.append(f"the best rate is the {edge} end of the {of} at {where}: try {advice}")
    coarse = [o for o in optima if o.steps is not None and o.log_steps.grid_sd > GRID_MAX]
    if coarse:
        where = listed("batch size", [o.batch_size for o in coarse])
        # Without bound where only one rate reached the goal
        largest = max(o.log_steps.grid_sd for o in coarse)
        known = f"known to {np.expm1(largest):.0%} only" if largest < 1.0 else "hardly known"
        notes.append(
            f"too few settings were tried at {where}: steps at the best one are {known}; ask for more trials"
            if of == "range"
            else f"the learning rates are too far apart at {where}: steps between them are {known}; "
            "take rates less than a factor of 2 apart"
        )
    lost = [o for o in optima if o.steps is None]
    if lost:
        where = listed("batch size", [o.batch_size for o in lost])
        left_out = any(o.low is not None and o.batch_size not in entering for o in lost)
        why = "; larger batches should not need more steps than smaller ones" if left_out else ""
        notes.append(f"fewer than half of the seeds reached the goal at {where}{why}")
    return tuple(notes)


def _check(optima: Sequence[Optimum], level: float, sharpness: float | None) -> None:
    if not 0 < level < 1:
        raise ValueError(f"critical_batch_size: level must be in (0, 1), got {level}")
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


@explain_arguments
def critical_batch_size(
    result: Result | None,
    *,
    level: float = LEVEL,
    sharpness: float | None = None,
    optima: Sequence[Optimum] | None = None,
) -> CriticalBatchSize:
    """Fit S(B) = S_min (1 + (B_crit / B)^a)^(1/a) to the best steps of every batch size.

    a = 1 is the published hyperbola (McCandlish et al., 2018). The knees of measured
    curves are sharper or softer than that, and a fit that insists then misplaces the
    asymptotes, and B_crit = E_min / S_min with them; so a is fitted, with a weak prior around 1, and the
    hyperbola's B_crit is reported beside it. `sharpness=1.0` insists.

    Least squares in log steps, weighted by the errors of the points; batch sizes
    that did not reach the goal are censored at their bound (Tobit). Intervals are Student's:
    the whole analysis is done again without each seed, and what the grid of rates leaves
    open is added (`lr_batch.analysis.intervals`). Whether the curve fits is tested
    (`lr_batch.analysis.curve_test`).

    Args:
      result: trials with at least 4 batch sizes that reached the goal and 2 seeds.
      level: coverage of the intervals, in (0, 1).
      sharpness: fixed a in [0.3, 6], or None to fit it.
      optima: `best_settings(result)` where it is known already.
    """
    if optima is None:
        if result is None:
            raise ValueError(
                "critical_batch_size: needs a result, or its best settings as optima; got neither"
            )
        optima = best_settings(result, level=level)
    optima = tuple(optima)
    _check(optima, level, sharpness)
    all_points, replicates = point_replicates(optima)
    points, parameters, entering = _fit(all_points, replicates, sharpness)
    s_min, value, power, e_min, until, flat = exp_estimates(parameters.map(_printed), level)
    reached = [o for o in optima if o.steps is not None]
    sizes = np.exp(points.log_b).round().astype(int).tolist()
    test = test_curve(points, replicates.best[entering], parameters.best, reached, sharpness)
    notes = (*_notes(value, optima, sizes), *test.notes)
    return CriticalBatchSize(
        value=value.best,
        low=value.low,
        high=value.high,
        s_min=s_min.best,
        s_min_low=s_min.low,
        s_min_high=s_min.high,
        e_min=e_min.best,
        e_min_low=e_min.low,
        e_min_high=e_min.high,
        sharpness=power.best,
        sharpness_low=power.low,
        sharpness_high=power.high,
        hyperbola=float(np.exp(fit_curve(points, replicates.best[None, entering], 1.0)[0, 1])),
        regimes=Regimes(until, flat),
        measured=measured_curve(reached, level),
        test=test,
        level=level,
        optima=optima,
        seeds=study_seeds(optima),
        range=(reached[0].batch_size, reached[-1].batch_size),
        reliable=not notes,
        notes=notes,
        parameters=parameters,
    )


class Ratio(NamedTuple):
    """A ratio with its interval, and the probability of one as far from 1 or farther between equal studies."""

    best: float
    low: float
    high: float
    p_value: float


@explain_arguments
def ratio(
    one: CriticalBatchSize,
    other: CriticalBatchSize,
    names: Sequence[str] = ("s_min", "critical_batch_size"),
    *,
    same_grid: bool = False,
) -> dict[str, Ratio]:
    """Of each of `names`, which may also be "sharpness" and "e_min", `one` over `other`; seeds that both have are paired.

    Args:
      same_grid: what the grid of rates leaves open is common to both, and cancels.
    """
    logs = difference(one.parameters.map(_printed), one.seeds, other.parameters.map(_printed), other.seeds)
    if same_grid:
        logs = logs._replace(shifts=logs.shifts[:0])
    estimates = dict(zip(PRINTED, exp_estimates(logs, one.level), strict=False))  # the limits follow
    p_value = dict(zip(PRINTED, p_values(logs).tolist(), strict=False))
    return {name: Ratio(*estimates[name], p_value[name]) for name in names}
