"""What the measured steps say without any form of the curve: slopes, and where linear scaling ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lr_batch.analysis.intervals import LEVEL, Estimate, Replicates, exp_estimates, half_widths
from lr_batch.analysis.optimum import Optimum, study_seeds
from lr_batch.analysis.scaling_curve import Points

TOLERANCE = 0.2  # over linear scaling (Zhang et al., 2024), and over the fewest steps
# Errors from the grid of rates are alike where best rates lie alike between its rates, and those move with the
# batch size: their correlation falls by e over this factor of batch size (`python -m runs.recipes.coverage`).
ALIKE = 8.0


class Slope(NamedTuple):
    """d log steps / d log batch size between two measured batch sizes: -1 is perfect scaling, 0 none."""

    smaller: int
    larger: int
    slope: Estimate


class MeasuredCurve(NamedTuple):
    """`slopes` between neighbours; `linear_until`: the batch size from which on steps exceed linear scaling by 20 %,
    beyond the batch size that needs the fewest examples; the largest batch size where they never do."""

    slopes: tuple[Slope, ...]
    linear_until: Estimate


def point_replicates(optima: Sequence[Optimum]) -> tuple[Points, Replicates]:
    """Batch sizes of which anything is known, and their log steps: from all seeds, without each seed, and shifted by
    each independent error of the grid of rates. One that was not reached is a lower bound, as noisy as the noisiest
    that was reached, and the same in all replicates."""
    usable = [o for o in optima if o.low is not None]
    reached = [o for o in usable if o.steps is not None]
    noisiest = max(o.log_se for o in reached)
    points = Points(
        np.log([float(o.batch_size) for o in usable]),
        np.array([noisiest if o.steps is None else o.log_se for o in usable]),
        np.array([o.steps is None for o in usable]),
    )
    num_seeds = len(study_seeds(optima))
    best = np.array(
        [np.log(o.low) if o.steps is None else o.log_steps.best for o in optima if o.low is not None]
    )
    columns = [o.log_steps.without or (value,) * num_seeds for o, value in zip(usable, best, strict=True)]
    grid_sd = np.array([0.0 if o.steps is None else o.log_steps.grid_sd for o in usable])
    apart = np.abs(points.log_b[:, None] - points.log_b) / np.log(ALIKE)
    errors = np.linalg.cholesky(np.exp(-apart) + 1e-9 * np.eye(len(usable))) * grid_sd[:, None]
    return points, Replicates(best, np.array(columns, float).T, best + errors.T)


def measured_curve(reached: Sequence[Optimum], level: float = LEVEL) -> MeasuredCurve:
    """Slopes between neighbouring batch sizes that reached the goal, and where linear scaling ends."""
    points, steps = point_replicates(reached)
    sizes = [o.batch_size for o in reached]
    slopes = steps.map(lambda y: np.diff(y, axis=1) / np.diff(points.log_b))
    half = half_widths(slopes, level)
    rows = tuple(
        Slope(small, large, Estimate(float(s), float(s - h), float(s + h)))
        for small, large, s, h in zip(sizes, sizes[1:], slopes.best, half, strict=False)
    )
    until = steps.map(lambda y: _linear_until(y, points.log_b))
    return MeasuredCurve(rows, exp_estimates(until, level)[0])


def _linear_until(log_steps: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """Log batch size [rows 1] at which examples first exceed the fewest by `TOLERANCE`, interpolated; the last size
    where they never do."""
    excess = log_steps + log_b
    excess = excess - excess.min(1, keepdims=True) - np.log1p(TOLERANCE)
    found = []
    for row in excess:
        over = np.flatnonzero((row > 0) & (np.arange(len(row)) > row.argmin()))
        if not len(over):
            found.append(log_b[-1])
            continue
        i = over[0]
        found.append(np.interp(0.0, row[i - 1 : i + 1], log_b[i - 1 : i + 1]))
    return np.array(found)[:, None]
