"""The constant rate that reaches the goal in the fewest steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from lr_batch.workloads.noisy_quadratic_theory.method import Method
from lr_batch.workloads.noisy_quadratic_theory.phases import CONSTANT, Phase
from lr_batch.workloads.noisy_quadratic_theory.steps import as_method, race

LOWEST, KNEE, HIGHEST = 1e-6, 0.3, 0.999  # of the rate at which the loss grows forever
BELOW_KNEE, ABOVE_KNEE = 48, 192  # rates: evenly in the logarithm, then evenly
MAX_STEPS = 1e9
ZOOMS, ZOOM_RATES = 4, 4  # rates from a neighbour to the best, both included


class OptimalRate(NamedTuple):
    """Rate that reaches the goal in the fewest steps, and those steps; with the shape of the batch size."""

    rate: Float[np.ndarray, " ..."]
    steps: Float[np.ndarray, " ..."]


def optimal(
    batch_size: ArrayLike,
    h: Float[np.ndarray, " dim"],
    method: Method | float = 0.0,
    goal: float = 0.01,
    *,
    phases: Sequence[Phase] = CONSTANT,
) -> OptimalRate:
    """Best rate at every batch size, by a grid over all stable rates that closes in `ZOOMS` times.

    With momentum, steps jump where a dip of the loss just misses the goal: the grid is denser near the
    largest stable rate, where those dips are, and the answer is the best of the rates that were tried.

    Args:
      batch_size: B, > 0, one or many.
      h, method, goal, phases: as for `steps_to_goal`.
    """
    sizes = np.atleast_1d(np.asarray(batch_size, float)).ravel()
    method = as_method(method)
    rows = np.arange(len(sizes))
    tried = np.tile(np.log(method.max_rate(h) * _fractions()), (len(sizes), 1))
    for _ in range(1 + ZOOMS):
        cells = np.broadcast_arrays(np.exp(tried), sizes[:, None], rows[:, None])
        steps = race(*cells, h, method, goal, MAX_STEPS, phases).reshape(tried.shape)
        best = steps.argmin(1)
        rate, fewest = tried[rows, best], steps[rows, best]
        tried = _closer(tried, best)
    shape = np.shape(batch_size)
    return OptimalRate(np.exp(rate).reshape(shape)[()], fewest.reshape(shape)[()])


def _fractions() -> np.ndarray:
    low = np.geomspace(LOWEST, KNEE, BELOW_KNEE, endpoint=False)
    return np.append(low, np.linspace(KNEE, HIGHEST, ABOVE_KNEE))


def _closer(tried: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Rates from the best one's lower neighbour to its upper one; the best so far is the middle one."""
    rows, last = np.arange(len(tried)), tried.shape[1] - 1
    below, rate, above = (tried[rows, np.clip(best + i, 0, last)] for i in (-1, 0, 1))
    left = np.linspace(below, rate, ZOOM_RATES, axis=1)
    return np.column_stack([left, np.linspace(rate, above, ZOOM_RATES, axis=1)[:, 1:]])
