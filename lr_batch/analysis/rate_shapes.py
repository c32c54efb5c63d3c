"""Shapes of steps to the goal against the learning rate, at one batch size.

Steps fall like 1/rate, turn, and rise: gently in a valley, or without bound at
an edge beyond which the goal is not reached. Two families of shapes with slope -1
on the far left, in u = rate relative to the edge or the optimum, and one that only
supposes a smooth minimum:

    cliff   T(u) = (L - log(1 - u)) / u,             u < 1, sharper for larger L
    valley  T(u) = 1/u + u^q / q,                    curvature q at the minimum u = 1
    bowl    log T(u) = c (u^s - 1 - s log u) / s^2,  curvature c there, steeper to its right for s > 0

The cliff is one mode of the noisy quadratic model with a constant rate and its
steady state u (Zhang et al., 2019), L the log of initial over target distance.
Written around its minimum, log T = level + basin(log rate - log best rate).
"""

from __future__ import annotations

from functools import partial

import numpy as np

CLIFFS = np.geomspace(0.05, 200.0, 11)  # L
VALLEYS = np.array([0.25, 0.5, 1.0, 2.0, 4.0])  # q
BOWLS = np.array([0.25, 0.5, 1.0, 2.0, 4.0])  # c
SKEWS = (-1.0, 0.0, 1.0, 3.0)  # s


def best_fraction(shape: np.ndarray | float) -> np.ndarray | float:
    """u at the minimum of T: the root of L - log(1 - u) = u / (1 - u), by bisection."""
    low, high = np.zeros_like(shape), np.ones_like(shape)
    for _ in range(60):
        middle = 0.5 * (low + high)
        # Left of the root the saving from a larger rate still wins.
        before = (1.0 - middle) * (shape - np.log1p(-middle)) > middle
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return 0.5 * (low + high)


def cliff(offset: np.ndarray, sharpness: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """(log T - log min T, its slope in log rate) at `offset` = log(rate / best); inf beyond the edge."""
    best = best_fraction(sharpness)
    fraction = best * np.exp(offset)
    inside = np.minimum(fraction, 1.0 - 1e-12)
    height = sharpness - np.log1p(-inside)
    value = np.log(height / (sharpness - np.log1p(-best))) - offset
    slope = inside / ((1.0 - inside) * height) - 1.0
    return np.where(fraction < 1.0, value, np.inf), slope


def valley(offset: np.ndarray, curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for T(u) = 1/u + u^q / q."""
    right = curvature * offset - np.log(curvature)
    value = np.logaddexp(-offset, right)
    slope = (1.0 + curvature) * np.exp(right - value) - 1.0
    return value - np.log1p(1.0 / curvature), slope


def bowl(offset: np.ndarray, curvature: np.ndarray, skew: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The same for log T(u) = c (u^s - 1 - s log u) / s^2, the parabola c/2 (log u)^2 where s = 0."""
    if skew == 0.0:
        return 0.5 * curvature * offset**2, curvature * offset
    growth = np.expm1(skew * offset)
    return curvature * (growth - skew * offset) / skew**2, curvature * growth / skew


FAMILIES = ((cliff, CLIFFS), (valley, VALLEYS), *((partial(bowl, skew=skew), BOWLS) for skew in SKEWS))
NUM_SHAPES = sum(len(parameters) for _, parameters in FAMILIES)


def basin(shape: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and slope of one shape for each row of `offset` [models rates]; shapes are numbered as in `basins`."""
    value, slope, first = np.empty_like(offset), np.empty_like(offset), 0
    for family, parameters in FAMILIES:
        rows = (shape >= first) & (shape < first + len(parameters))
        of = parameters[shape[rows] - first][:, None]
        value[rows], slope[rows] = family(offset[rows], of)
        first += len(parameters)
    return value, slope


def basins(offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and slope of every shape; `offset` [... 1 rates] gives [... shapes rates]."""
    shapes = [family(offset, parameters[:, None]) for family, parameters in FAMILIES]
    values, slopes = zip(*shapes, strict=True)
    return np.concatenate(values, axis=-2), np.concatenate(slopes, axis=-2)
