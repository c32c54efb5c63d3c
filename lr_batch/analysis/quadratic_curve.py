"""The curve of a noisy quadratic, fitted to the batch sizes that were measured, for what larger ones would need.

A quadratic with curvatures h_i = i^-alpha, i <= 1,000, and gradient noise of covariance h / B (Zhang et al., 2019) has
one curve of steps at its best constant rate; up to shifts of log steps and of log batch size it depends on alpha alone:

    log S(B) = log s_min + f_alpha(log B - log b_crit)

A large alpha has the softer knee. What alpha and b_crit are is seen where steps begin to leave perfect scaling; fitted
to batch sizes below that, the curve is hardly more than a guess (`python -m runs.recipes.spectrum_prediction`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from lr_batch.analysis.intervals import LEVEL, Estimates, Replicates, exp_estimates
from lr_batch.analysis.measured_curve import point_replicates
from lr_batch.analysis.optimum import Optimum
from lr_batch.workloads.noisy_quadratic_theory import optimal
from optim.arguments import explain_arguments

ALPHAS = (0.5, 0.75, 1.0, 1.5, 2.0)
DIM, GOAL = 1000, 0.03  # curvatures; loss at the goal over that at the start
ALPHA_SD = 0.5  # of the normal prior on log alpha around the spectrum of Zhang et al.
# How far above the largest batch size, and a tenth of it below the smallest, b_crit is looked for
BEYOND = 64.0
MIN_POINTS = 3
_X = np.arange(-16.0, 16.01, 0.25) * np.log(2.0)  # log (B / b_crit) of the table
_ZOOMS, _HALF = 7, 2  # grids of 2 * _HALF + 1 values each way, closing in


class QuadraticCurve(NamedTuple):
    """`parameters`: log s_min, log b_crit and log alpha; `fitted` the smallest and largest batch size of the fit."""

    parameters: Replicates
    fitted: tuple[int, int]
    level: float

    def steps(self, batch_size: Sequence[float] | Num[np.ndarray, " n"]) -> Estimates:
        """Steps at any batch sizes; the interval is of the seeds and the grid, not of the model being wrong."""
        logs = self.log_steps(np.log(np.asarray(batch_size, float)))
        return Estimates(*np.array(exp_estimates(logs, self.level)).T)

    def log_steps(self, log_b: Float[np.ndarray, " n"]) -> Replicates:
        """Log steps at log batch sizes."""
        return self.parameters.map(lambda p: curve(p, log_b))


@explain_arguments
def quadratic_curve(
    optima: Sequence[Optimum], *, until: float = np.inf, level: float = LEVEL
) -> QuadraticCurve:
    """The noisy quadratic that steps to the goal speak for.

    Args:
      optima: best settings of a study; those that reached the goal count.
      until: the largest batch size of the fit.
      level: coverage of intervals, in (0, 1).

    Raises:
      ValueError: fewer than 3 batch sizes reached the goal.
    """
    used = [o for o in optima if o.steps is not None and o.batch_size <= until]
    if len(used) < MIN_POINTS:
        raise ValueError(
            f"quadratic_curve: needs at least {MIN_POINTS} batch sizes that reached the goal, got {len(used)}"
        )
    points, steps = point_replicates(used)
    parameters = steps.map(lambda y: fit_quadratic(points.log_b, y, points.se))
    return QuadraticCurve(parameters, (used[0].batch_size, used[-1].batch_size), level)


def fit_quadratic(
    log_b: Float[np.ndarray, " points"],
    log_y: Float[np.ndarray, "fits points"],
    se: Float[np.ndarray, " points"],
) -> Float[np.ndarray, "fits 3"]:
    """Least squares in log steps, rows of (log s_min, log b_crit, log alpha): over a grid that closes in."""
    weight, fits = se**-2.0, np.arange(len(log_y))
    low, high = log_b[0] - np.log(BEYOND / 10.0), log_b[-1] + np.log(BEYOND)
    crit, alpha = np.arange(low, high, 0.2), np.log(np.geomspace(ALPHAS[0], ALPHAS[-1], 9))
    tried = np.stack(np.meshgrid(crit, alpha, indexing="ij"), -1).reshape(1, -1, 2)
    reach = np.array([0.2, alpha[1] - alpha[0]])
    offsets = np.arange(-_HALF, _HALF + 1) / _HALF
    around = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), -1).reshape(-1, 2)
    for _ in range(1 + _ZOOMS):
        tried = np.clip(tried, [low, alpha[0]], [high, alpha[-1]])
        cost, level = _costs(tried, log_b, log_y, weight)
        best = cost.argmin(1)
        found = np.broadcast_to(tried, (len(fits), *tried.shape[1:]))[fits, best]
        tried, reach = found[:, None] + reach * around, reach / _HALF
    return np.column_stack([level[fits, best], found])


def _costs(
    tried: np.ndarray, log_b: np.ndarray, log_y: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted squares [fits tried] with the prior, and the levels that minimise them."""
    shape = _shape(log_b - tried[..., :1], tried[..., 1:])
    share = weight / weight.sum()
    level = (log_y @ share)[:, None] - shape @ share
    residual = log_y[:, None] - shape - level[..., None]
    return residual**2 @ weight + (tried[..., 1] / ALPHA_SD) ** 2, level


def curve(parameters: Float[np.ndarray, "fits 3"], log_b: Float[np.ndarray, " n"]) -> np.ndarray:
    """log S [fits n] for rows of (log s_min, log b_crit, log alpha)."""
    log_s, log_crit, log_alpha = np.moveaxis(parameters[..., None], -2, 0)
    return log_s + _shape(log_b - log_crit, log_alpha)


def _shape(x: np.ndarray, log_alpha: np.ndarray) -> np.ndarray:
    """f_alpha(x), linear between the entries of the table: perfect scaling below it, flat above."""
    table = _table()
    rows = np.interp(log_alpha, np.log(ALPHAS), np.arange(len(ALPHAS)))
    columns = np.interp(x, _X, np.arange(len(_X)))
    i, j = (
        np.minimum(at.astype(int), size - 2) for at, size in zip((rows, columns), table.shape, strict=True)
    )
    u, v = rows - i, columns - j
    inside = (1 - u) * ((1 - v) * table[i, j] + v * table[i, j + 1])
    inside = inside + u * ((1 - v) * table[i + 1, j] + v * table[i + 1, j + 1])
    return inside + np.maximum(_X[0] - x, 0.0)


@cache
def _table() -> Float[np.ndarray, "alphas x"]:
    """f_alpha on `_X`: log S - log s_min, at 0 where log S = log s_min - x begins and ends to hold."""
    sizes = 4.0 ** np.arange(-1, 11)
    log_b = np.log(sizes)
    rows = []
    for alpha in ALPHAS:
        h = np.arange(1, DIM + 1.0) ** -alpha
        log_s = np.log(optimal(sizes, h, goal=GOAL * h.sum() / 2).steps)
        excess = log_s - log_s[-1]
        x = log_b - (excess[0] + log_b[0])
        smooth = _pchip(x, excess)(np.clip(_X, x[0], x[-1]))
        rows.append(smooth + np.maximum(x[0] - _X, 0.0))
    return np.array(rows)


def _pchip(x: np.ndarray, y: np.ndarray):
    from scipy.interpolate import PchipInterpolator  # 0.2 s

    return PchipInterpolator(x, y)
