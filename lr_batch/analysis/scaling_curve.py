"""The curve of steps to the goal against batch size, and its fit.

    S(B) = S_min (1 + (B_crit / B)^a)^(1/a)

a = 1 is the published hyperbola (McCandlish et al., 2018, eq. 2.11); a larger
sharpness a has a sharper knee between the same asymptotes, B_crit S_min / B and S_min.
Many data sets are fitted at once, so that a bootstrap costs a few array operations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.special at its first use
from jaxtyping import Bool, Float

from lr_batch.analysis.censoring import hazard

SHARPNESS_SD = 0.5  # of the normal prior on log sharpness, around the published hyperbola
SHARPNESS_RANGE = (0.3, 6.0)
MARGIN = np.log(8.0)  # how far outside the measured batch sizes B_crit is looked for
CENSORED_ROUNDS = 15
CONVERGED = 1e-4  # in log parameters


class Points(NamedTuple):
    """What is common to all data sets: log batch sizes, standard errors of the log
    steps, and which of these are lower bounds of what was not reached."""

    log_b: Float[np.ndarray, " points"]
    se: Float[np.ndarray, " points"]
    censored: Bool[np.ndarray, " points"]


def log_steps(parameters: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """log S [fits points] for rows of (log s_min, log b_crit, log sharpness)."""
    log_s, log_crit, log_a = np.moveaxis(parameters[..., None], -2, 0)
    a = np.exp(log_a)
    return log_s + np.logaddexp(0.0, a * (log_crit - log_b)) / a


def jacobian(parameters: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """d log S / d parameters [fits points 3]."""
    _, log_crit, log_a = np.moveaxis(parameters[..., None], -2, 0)
    a = np.exp(log_a)
    linear = scipy.special.expit(a * (log_crit - log_b))  # 1 where scaling is perfect, 0 on the plateau
    by_sharpness = linear * (log_crit - log_b) - np.logaddexp(0.0, a * (log_crit - log_b)) / a
    return np.stack([np.ones_like(linear), linear, by_sharpness], axis=-1)


def _start(log_b: np.ndarray, log_y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Best parameters [fits 3] on a coarse grid of B_crit and sharpness; S_min in closed form."""
    log_crit = np.arange(log_b.min() - MARGIN, log_b.max() + MARGIN, 0.25)
    log_a = np.log([0.6, 1.0, 1.6, 2.5])
    grid = np.stack(np.meshgrid(0.0, log_crit, log_a, indexing="ij"), -1).reshape(-1, 3)
    shape = log_steps(grid, log_b)
    share = weight / weight.sum()
    shape = shape - (shape @ share)[:, None]
    # Sum of squares after the level is taken out, up to a constant per fit.
    cost = (shape**2) @ weight - 2.0 * (log_y * weight) @ shape.T
    best = grid[cost.argmin(1)]
    best[:, 0] = (log_y - log_steps(best, log_b)) @ share
    return best


def _cost(parameters: np.ndarray, log_b: np.ndarray, log_y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    prior = (parameters[:, 2] / SHARPNESS_SD) ** 2
    return ((log_y - log_steps(parameters, log_b)) ** 2) @ weight + prior


def _least_squares(
    log_b: np.ndarray,
    log_y: np.ndarray,
    weight: np.ndarray,
    sharpness: float | None,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Levenberg-Marquardt in log steps; the sharpness is fixed or, if None, fitted."""
    low = np.array([-np.inf, log_b.min() - MARGIN, np.log(SHARPNESS_RANGE[0])])
    high = np.array([np.inf, log_b.max() + MARGIN, np.log(SHARPNESS_RANGE[1])])
    if sharpness is not None:
        low[2] = high[2] = np.log(sharpness)
    best = np.clip(_start(log_b, log_y, weight) if start is None else start, low, high)
    cost, damping = _cost(best, log_b, log_y, weight), np.full(len(log_y), 1e-3)
    for _ in range(25):
        slope = jacobian(best, log_b) * (low < high)  # a fixed parameter has no slope
        gradient = np.einsum("fpk,fp->fk", slope, weight * (log_y - log_steps(best, log_b)))
        gradient[:, 2] -= best[:, 2] / SHARPNESS_SD**2
        hessian = np.einsum("fpk,p,fpl->fkl", slope, weight, slope) + np.diag([0.0, 0.0, SHARPNESS_SD**-2])
        diagonal = np.einsum("fkk->fk", hessian) * damping[:, None] + 1e-9
        step = np.linalg.solve(hessian + diagonal[..., None] * np.eye(3), gradient[..., None])[..., 0]
        trial = np.clip(best + step, low, high)
        if np.abs(trial - best).max() < CONVERGED:
            break
        trial_cost = _cost(trial, log_b, log_y, weight)
        better = trial_cost <= cost
        best, cost = np.where(better[:, None], trial, best), np.where(better, trial_cost, cost)
        damping = np.where(better, damping * 0.2, damping * 8.0)
    return best


def fit_curve(
    points: Points, log_y: Float[np.ndarray, "fits points"], sharpness: float | None = None
) -> Float[np.ndarray, "fits 3"]:
    """Maximum-likelihood curves with normal errors of log steps and, for censored points, Tobit's.

    Args:
      points: batch sizes and errors, common to all data sets.
      log_y: log steps, or lower bounds where censored; one row per data set.
      sharpness: fixed a, or None to fit it under a weak prior around 1.

    Returns:
      Rows of (log s_min, log b_crit, log a).
    """
    weight = points.se**-2.0
    parameters = _least_squares(points.log_b, log_y, weight, sharpness)
    # Expectation maximisation: a censored point moves to its expectation given the curve.
    for _ in range(CENSORED_ROUNDS if points.censored.any() else 0):
        mean = log_steps(parameters, points.log_b)
        expected = mean + points.se * hazard((log_y - mean) / points.se)
        filled = np.where(points.censored, expected, log_y)
        before, parameters = parameters, _least_squares(points.log_b, filled, weight, sharpness, parameters)
        if np.abs(parameters - before).max() < CONVERGED:
            break
    return parameters
