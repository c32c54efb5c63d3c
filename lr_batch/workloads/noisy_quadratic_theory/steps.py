"""Expected loss after given steps, and the first step below the goal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from lr_batch.workloads.noisy_quadratic_theory.method import Method
from lr_batch.workloads.noisy_quadratic_theory.phases import CONSTANT, Phase, checked
from lr_batch.workloads.noisy_quadratic_theory.walk import Loss, Walk, losses, spectrum

WIDTH = 0.03  # curvatures this close are taken together where steps are looked for
SETTLED = 1e-6  # share of the start at which an oscillation can no longer cross the goal
MAX_DENSE = 20_000


def as_method(method: Method | float) -> Method:
    """A number is the momentum."""
    return (method if isinstance(method, Method) else Method(momentum=float(method))).checked()


def expected_loss(
    steps: ArrayLike,
    rate: float,
    batch_size: float,
    h: Float[np.ndarray, " dim"],
    method: Method | float = 0.0,
    *,
    phases: Sequence[Phase] = CONSTANT,
) -> Float[np.ndarray, " ..."] | np.float64:
    """E[L] after `steps` updates, with the shape of `steps`.

    Args:
      steps: numbers of updates, whole and >= 0.
      rate: learning rate a, > 0. Above 2 (1 + m) / max h^(1 - p) the loss grows.
      batch_size: B, > 0.
      h: curvatures, > 0.
      method: momentum m of the heavy ball v' = m v + g, w' = w - a v', or a whole `Method`.
      phases: schedule of rate and batch size, as factors; the weights stay after the last one.

    >>> from lr_batch.workloads.noisy_quadratic_theory import curvature
    >>> h = curvature(2)
    >>> expected_loss([0, 1], 1.0, 8, h)  # 1/2 sum h, then 1/2 (1/8 + 1/2 (1/4 + 1/16))
    array([0.75    , 0.140625])
    """
    steps, which = np.unique(np.asarray(steps), return_inverse=True)
    with np.errstate(over="ignore", invalid="ignore"):
        walk = Walk(np.array([float(rate)]), spectrum(h), as_method(method), checked(phases))
        loss = np.array([_at(walk.to(int(step)), 0, batch_size) for step in steps])
    return loss[which]


def _at(loss: Loss, rate: np.ndarray | int, batch_size: np.ndarray | float) -> np.ndarray:
    """E[L]; inf - inf: the loss has grown past any bound."""
    value = loss.signal[rate] + loss.noise[rate] / batch_size
    return np.where(np.isnan(value), np.inf, value)


def steps_to_goal(
    rate: ArrayLike,
    batch_size: ArrayLike,
    h: Float[np.ndarray, " dim"],
    method: Method | float = 0.0,
    goal: float = 0.01,
    max_steps: float = 1e9,
    *,
    phases: Sequence[Phase] = CONSTANT,
) -> Float[np.ndarray, " ..."] | np.float64:
    """First step at which E[L] < goal, interpolated; infinite where that is after `max_steps`.

    As long as the loss can oscillate it is taken at every step, so that dips of a single step are found;
    later at 16 points per octave, between which log loss is interpolated in log step. Curvatures within
    3 % are taken together (`spectrum`).

    Args:
      rate, batch_size: > 0; they are broadcast against each other, and equal rates share their work.
      h, method, phases: as for `expected_loss`.
      goal: of the loss, > 0.
      max_steps: where to give up, >= 1.
    """
    cells = np.broadcast_arrays(np.asarray(rate, float), np.asarray(batch_size, float))
    found = race(*cells, np.arange(cells[0].size), h, as_method(method), goal, max_steps, phases)
    return found.reshape(cells[0].shape)[()]


def race(
    rate: np.ndarray,
    batch_size: np.ndarray,
    group: np.ndarray,
    h: np.ndarray,
    method: Method,
    goal: float,
    max_steps: float,
    phases: Sequence[Phase],
) -> Float[np.ndarray, " cells"]:
    """Steps to the goal of each cell, infinite for those that came after the first of their `group`."""
    rates, which = np.unique(rate.ravel(), return_inverse=True)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        walk = Walk(rates, spectrum(h, WIDTH), method, checked(phases))
        cells = which.ravel(), batch_size.ravel(), group.ravel()
        return _first_below(walk, *cells, goal, max_steps, for_ever=len(phases) == 1)


def _dense(method: Method) -> int:
    """Steps after which no mode oscillates visibly: w^2 of an under-damped one shrinks by m per step.

    An average of iterates only damps what oscillates.
    """
    m = method.momentum
    return min(int(np.ceil(np.log(SETTLED) / np.log(m))), MAX_DENSE) if m else 0


def _first_below(
    walk: Walk,
    rate: np.ndarray,
    batch_size: np.ndarray,
    group: np.ndarray,
    goal: float,
    max_steps: float,
    *,
    for_ever: bool,
) -> np.ndarray:
    """Crossing of each cell; `rate` are indices into the rates of the walk, which do not change where `for_ever`."""
    found, before, step_before = np.full(len(rate), np.inf), np.full(len(rate), np.inf), 0
    for loss in losses(walk, _dense(walk.method), max_steps):
        over = np.log(_at(loss, rate, batch_size) / goal)
        new = (over < 0) & np.isinf(found)
        share = before[new] / (before[new] - over[new])
        found[new] = _between(step_before, loss.step, share) if loss.step else 0.0
        # A cell is closed where its group has its winner, it has grown past any bound, or its noise,
        # which only grows at a constant rate, is above the goal by itself.
        lost = ~np.isfinite(over) | (for_ever & (loss.noise[rate] >= goal * batch_size))
        open_ = ~lost & ~np.isin(group, group[np.isfinite(found)])
        if not open_.any():
            break
        before, step_before = over, loss.step
        rate = _drop(walk, rate, open_)
    return found


def _drop(walk: Walk, rate: np.ndarray, open_: np.ndarray) -> np.ndarray:
    """Leaves out the rates that no open cell needs once they are half; the new indices of all cells."""
    needed = np.isin(np.arange(len(walk.rate)), rate[open_])
    if 2 * needed.sum() > len(needed):
        return rate
    walk.keep(needed)
    # Closed cells keep an index to any rate: their own has been dropped, and their values are not used.
    return np.maximum(np.cumsum(needed) - 1, 0)[rate]


def _between(low: int, high: int, share: np.ndarray) -> np.ndarray:
    """Between neighbouring steps on a line, between distant ones in log step."""
    return low + share if high - low == 1 else low * (high / low) ** share
