"""The terms of a chunk, filled in from its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from lr_batch.lanes.race import Terms
from lr_batch.problem.reaching import average_weights
from lr_batch.problem.workload import Goal

Settings = Sequence[Mapping[str, float]]


def padded(settings: Settings, width: int) -> dict[str, Float[np.ndarray, " width"]]:
    """The settings as columns of `width` lanes, the last one repeated: lanes beyond the settings only fill the width."""
    lanes = [*settings, *settings[-1:] * (width - len(settings))]
    return {name: np.array([setting[name] for setting in lanes], np.float32) for name in settings[0]}


def terms_of(
    settings: Settings,
    width: int,
    *,
    batch_size: int,
    cadence: Int[np.ndarray, " evals"],
    num_evals: int | None = None,
    goal: Goal | None = None,
    time_constant: float = 0.0,
    start: int = 0,
    slack: float = np.inf,
) -> Terms:
    """The terms of a chunk of `width` lanes.

    Args:
      settings: hyperparameters of each lane, 1 to `width` of them with the same names.
      width: lanes of the program.
      batch_size: of all lanes.
      cadence: steps of the evaluations.
      num_evals: how many of them count; None for all.
      goal: by default one that cannot be reached.
      time_constant: of the average that reaches it, see `average_weights`; 0 for the evaluations as they are.
      start: step of the evaluation before the first of `cadence`.
      slack: of the race; by default there is no race.
    """
    return Terms(
        hparams=padded(settings, width),
        batch_size=np.int32(batch_size),
        cadence=cadence,
        num_evals=np.int32(len(cadence) if num_evals is None else num_evals),
        weights=average_weights(cadence, time_constant, start),
        threshold=np.float32(goal.threshold if goal else -np.inf),
        above=np.bool_(goal.above if goal else False),
        slack=np.float32(slack),
    )
