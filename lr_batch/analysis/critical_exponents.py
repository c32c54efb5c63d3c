"""Powers of the critical batch size in the size of a model and in the amount of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lr_batch.analysis.critical_batch import CriticalBatchSize
from lr_batch.analysis.intervals import LEVEL, Estimate, Replicates, half_widths
from optim.arguments import explain_arguments


class CriticalExponents(NamedTuple):
    """Powers of the critical batch size in the width, at each goal, and in the examples (E_min), at each width; the means
    of both, None where no two points could be fitted."""

    width: dict[str, Estimate]
    data: dict[int, Estimate]
    mean_width: Estimate | None
    mean_data: Estimate | None


@explain_arguments
def critical_exponents(
    found: Mapping[tuple[int, str], CriticalBatchSize], *, level: float = LEVEL
) -> CriticalExponents:
    """Slopes of log B_crit over all widths of a goal, and against log E_min over all goals of a width: p and q of
    B_crit ~ width^p and B_crit ~ E_min^q, both in examples.

    Seeds are left out one at a time of all points at once, so that what they do to all alike cancels: the studies share
    their seeds.

    Args:
      found: (width, goal) -> the critical batch size, all of the same seeds; widths above 0.
      level: coverage of the intervals, in (0, 1).

    Raises:
      ValueError: where seeds differ, since they are left out of all points at once.

    Source: q is 0.47 and p about 0 in Zhang et al. (2024), "How does critical batch size scale in pre-training?".
    """
    if len({tuple(one.seeds) for one in found.values()}) > 1:
        raise ValueError("critical_exponents: all critical batch sizes must be of the same seeds")
    in_width, in_data = {}, {}
    for goal in dict.fromkeys(goal for _, goal in found):
        points = [
            (_constant(np.log(width), one), _value(one)) for (width, of), one in found.items() if of == goal
        ]
        if len(points) > 1:
            in_width[goal] = slope(points)
    for width in dict.fromkeys(width for width, _ in found):
        points = [(_e_min(one), _value(one)) for (of, _), one in found.items() if of == width]
        if len(points) > 1:
            in_data[width] = slope(points)
    return CriticalExponents(
        {goal: _estimate(one, level) for goal, one in in_width.items()},
        {width: _estimate(one, level) for width, one in in_data.items()},
        _mean(list(in_width.values()), level),
        _mean(list(in_data.values()), level),
    )


def _value(critical: CriticalBatchSize) -> Replicates:
    """Log B_crit."""
    return critical.parameters.map(lambda rows: rows[:, 1:2])


def _e_min(critical: CriticalBatchSize) -> Replicates:
    """Log E_min = log S_min + log B_crit."""
    return critical.parameters.map(lambda rows: rows[:, :1] + rows[:, 1:2])


def _constant(value: float, like: CriticalBatchSize) -> Replicates:
    """A known number with as many replicates as the critical batch size has."""
    return like.parameters.map(lambda rows: np.full((len(rows), 1), value))


def slope(points: Sequence[tuple[Replicates, Replicates]]) -> Replicates:
    """Least-squares slope of y on x through points whose studies share their seeds.

    A seed is left out of all points at once. What a grid leaves open belongs to one point: the others stay.
    """
    xs, ys = (np.array([point[i].best[0] for point in points]) for i in (0, 1))
    without = [
        _through(*(np.array([point[i].without[seed, 0] for point in points]) for i in (0, 1)))
        for seed in range(min(len(x.without) for x, _ in points))
    ]
    each = np.arange(len(points))
    shifts = [
        _through(np.where(each == number, a[0], xs), np.where(each == number, b[0], ys))
        for number, (x, y) in enumerate(points)
        for a, b in zip(x.shifts, y.shifts, strict=True)
    ]
    return Replicates(
        np.array([_through(xs, ys)]), np.array(without)[:, None], np.array(shifts).reshape(-1, 1)
    )


def _through(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.polyfit(x, y, 1)[0])


def _estimate(one: Replicates, level: float) -> Estimate:
    half, best = float(half_widths(one, level)[0]), float(one.best[0])
    return Estimate(best, best - half, best + half)


def _mean(slopes: Sequence[Replicates], level: float) -> Estimate | None:
    """Mean of several slopes, seeds left out of all at once; errors of the grid as if they were one and the same."""
    if not slopes:
        return None
    best, without = (np.mean([getattr(one, name) for one in slopes], axis=0) for name in ("best", "without"))
    grid = np.mean([np.sqrt(((one.shifts - one.best) ** 2).sum(axis=0)) for one in slopes], axis=0)
    return _estimate(Replicates(best, without, (best + grid)[None]), level)
