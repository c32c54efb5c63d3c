"""Schedules of the rate and of the batch size, as phases in which both are constant."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Phase(NamedTuple):
    """`steps` updates at `rate` times the rate and `batch` times the batch size; the last phase may last forever."""

    steps: float = np.inf
    rate: float = 1.0
    batch: float = 1.0


CONSTANT = (Phase(),)


def phases_of(
    rate: Callable[[float], float],
    num_steps: int,
    *,
    batch: Callable[[float], float] = lambda step: 1.0,
    num: int = 64,
) -> tuple[Phase, ...]:
    """A schedule in `num` phases of equal length, each with the values of its middle; then held.

    Args:
      rate: step -> factor of the rate, >= 0; a member of `SCHEDULES` with peak 1 will do.
      num_steps: length of the schedule, >= 1.
      batch: step -> factor of the batch size, > 0.
      num: phases, at least 1; where there are fewer steps than that, each is a phase of its own.

    >>> [tuple(phase) for phase in phases_of(lambda step: 1 - step / 128, 64, num=2)]
    [(32, 0.87890625, 1.0), (32, 0.62890625, 1.0), (inf, 0.5, 1.0)]
    """
    if num_steps < 1 or num < 1:
        raise ValueError(f"phases_of: num_steps and num must be >= 1, got {num_steps} and {num}")
    bounds = np.unique(np.round(np.linspace(0, num_steps, num + 1)).astype(int))
    spans = [(int(high - low), (low + high - 1) / 2) for low, high in itertools.pairwise(bounds)]
    ends = [*spans, (np.inf, num_steps)]
    return tuple(Phase(steps, float(rate(at)), float(batch(at))) for steps, at in ends)


def checked(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """The phases, of which at least one has steps.

    Raises:
      ValueError: where there is none, or a length or factor is out of range.
    """
    phases = tuple(phases)
    wrong = [phase for phase in phases if not (phase.steps >= 1 and phase.rate >= 0 and phase.batch > 0)]
    if wrong or not phases:
        got = wrong[0] if wrong else "none"
        raise ValueError(
            f"noisy_quadratic_theory: phases need steps >= 1, rate >= 0 and batch > 0, got {got}"
        )
    return phases
