"""Expected loss, steps to goal and best rate of the noisy quadratic, from its second moments.

Zhang et al. (2019), "Which algorithmic choices matter at which batch sizes?",
section 3 and appendix: coordinates are independent, w_0 ~ N(0, I), and the
gradient h_i w_i carries noise of variance h_i / B, so E[w_i^2] follows a linear
recursion that depends on nothing else. Everything here is float64 and exact in
expectation; steps are computed in closed form or by repeated squaring, never one
by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

GRID_STEPS, GRID_RATES = 96, 48


class Optimum(NamedTuple):
    """Constant rate that reaches the goal in the fewest steps."""

    rate: float
    steps: float


def curvature(dim: int) -> Float[np.ndarray, " dim"]:
    """h_i = 1/i, i = 1..dim."""
    return 1.0 / np.arange(1, dim + 1)


def expected_loss(steps, rate: float, batch_size: float, h: np.ndarray, momentum: float = 0.0) -> np.ndarray:
    """E[L] after `steps` updates, with the shape of `steps`.

    Args:
      steps: numbers of updates, >= 0; integers where momentum > 0.
      rate: learning rate a, > 0. Above 2 (1 + momentum) / max(h) the loss grows.
      batch_size: B, > 0.
      h: curvatures `[dim]`, > 0.
      momentum: m of the heavy ball v' = m v + g, w' = w - a v', in [0, 1).

    >>> h = curvature(2)
    >>> expected_loss([0, 1], 1.0, 8, h)  # 1/2 sum h, then 1/2 (1/8 + 1/2 (1/4 + 1/16))
    array([0.75    , 0.140625])
    """
    moment = _momentum_second_moment if momentum else _sgd_second_moment
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        w2 = moment(np.asarray(steps), rate, batch_size, h, momentum)
        loss = 0.5 * (w2 @ h)
    return np.where(np.isnan(loss), np.inf, loss)  # inf - inf: the loss has grown past any bound.


def steps_to_goal(
    rate: float,
    batch_size: float,
    h: np.ndarray,
    momentum: float = 0.0,
    goal: float = 0.01,
    max_steps: float = 1e9,
) -> float:
    """First step at which E[L] < goal, interpolated; infinite where that is after `max_steps`.

    The crossing is looked for on a geometric grid of steps and then bisected: a
    dip narrower than an interval of the grid, a third of an octave, is not seen.
    """
    grid = np.append(0.0, np.unique(np.round(np.geomspace(1, max_steps, GRID_STEPS))))
    below = expected_loss(grid, rate, batch_size, h, momentum) < goal
    if below[0] or not below.any():
        return 0.0 if below[0] else np.inf
    low, high = grid[np.argmax(below) - 1 : np.argmax(below) + 1]
    while high - low > 1:
        middle = np.floor((low + high) / 2)
        reached = expected_loss(middle, rate, batch_size, h, momentum) < goal
        low, high = (low, middle) if reached else (middle, high)
    before, after = np.log(expected_loss(np.array([low, high]), rate, batch_size, h, momentum) / goal)
    return float(low + before / (before - after))


def optimal(batch_size: float, h: np.ndarray, momentum: float = 0.0, goal: float = 0.01) -> Optimum:
    """Best constant rate at a batch size and the steps that it takes to the goal."""
    limit = 2.0 * (1.0 + momentum) / h.max()
    log_rates = np.log(limit) + np.linspace(np.log(1e-5), np.log(0.999), GRID_RATES)
    steps = [steps_to_goal(np.exp(x), batch_size, h, momentum, goal) for x in log_rates]
    best = int(np.argmin(steps))
    bounds = log_rates[max(best - 1, 0)], log_rates[min(best + 1, GRID_RATES - 1)]
    found = minimize_scalar(
        lambda x: np.log(min(steps_to_goal(np.exp(x), batch_size, h, momentum, goal), 1e12)),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-4},
    )
    return Optimum(float(np.exp(found.x)), float(np.exp(found.fun)))


def _sgd_second_moment(t, a, batch_size, h, momentum):
    """E[w_i^2] = r^t + a^2 h / B (1 - r^t) / (1 - r), r = (1 - a h)^2, `[..., dim]`."""
    del momentum
    power = np.power((1.0 - a * h) ** 2, t[..., None])
    decay = a * h * (2.0 - a * h)  # 1 - r; zero at the edge of stability, where noise adds up for ever.
    geometric_sum = np.where(decay == 0, t[..., None], (1.0 - power) / decay)
    return power + a**2 * h / batch_size * geometric_sum


def _momentum_second_moment(t, a, batch_size, h, momentum):
    """E[w_i^2], `[..., dim]`, after t steps of x' = P x, x = (E[w^2], E[w v], E[v^2], 1), by squaring P."""
    power = _momentum_transition(a, batch_size, h, momentum)
    x = np.zeros((*t.shape, len(h), 4))
    x[..., 0] = x[..., 3] = 1.0
    remaining = t.astype(np.int64)
    while remaining.any():
        odd = (remaining % 2 == 1)[..., None, None]
        x = np.where(odd, np.einsum("dij,...dj->...di", power, x), x)
        power = power @ power
        remaining = remaining // 2
    return x[..., 0]


def _momentum_transition(a, batch_size, h, m):
    """P `[dim, 4, 4]` of v' = m v + h w + n, w' = w - a v', Var[n] = h / B."""
    c, variance = 1.0 - a * h, h / batch_size
    zero, one = np.zeros_like(h), np.ones_like(h)
    rows = [
        [c**2, -2 * a * m * c, a**2 * m**2 * one, a**2 * variance],
        [c * h, m * c - a * m * h, -a * m**2 * one, -a * variance],
        [h**2, 2 * m * h, m**2 * one, variance],
        [zero, zero, zero, one],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
