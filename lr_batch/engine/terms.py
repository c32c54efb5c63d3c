"""The terms of a chunk, filled in from its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from lr_batch.lanes.race import Terms
from lr_batch.problem.reaching import average_weights, on_scale
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
    batch_size: int | Int[np.ndarray, "phases 2"],
    cadence: Int[np.ndarray, " evals"],
    num_evals: int | None = None,
    reads: Int[np.ndarray, "evals 2"] | None = None,
    max_evals: int = 0,
    goal: Goal | None = None,
    time_constant: float = 0.0,
    start: int = 0,
    slack: float = np.inf,
    behind: float = 0.0,
) -> Terms:
    """The terms of a chunk of `width` lanes.

    Args:
      settings: hyperparameters of each lane, 1 to `width` of them with the same names.
      width: lanes of the program.
      batch_size: of all lanes; a table where it changes, see `lr_batch.lanes.race.batch_size_at`.
      cadence: steps of the evaluations.
      num_evals: how many of them count; None for all.
      reads: held-out rows that each of them reads, see `Terms`; None for all.
      max_evals: of the program; with fewer the rest is filled up.
      goal: by default one that cannot be reached.
      time_constant: of the average that reaches it, see `average_weights`; 0 for the evaluations as they are.
      start: step of the evaluation before the first of `cadence`.
      slack: of the race; by default there is no race.
      behind: how far behind lanes are let go, see `Terms`; by default none is.
    """
    reads = np.zeros((len(cadence), 2), np.int32) if reads is None else reads
    fill = max(0, max_evals - len(cadence))
    steps = np.pad(cadence, (0, fill), mode="edge")
    return Terms(
        hparams=padded(settings, width),
        batch_size=np.int32(batch_size) if isinstance(batch_size, int) else np.asarray(batch_size, np.int32),
        cadence=steps,
        num_evals=np.int32(len(cadence) if num_evals is None else num_evals),
        reads=np.pad(reads, ((0, fill), (0, 0))),
        weights=average_weights(steps, time_constant, start),
        threshold=_threshold(goal),
        above=np.bool_(goal.above if goal else False),
        slack=np.float32(slack),
        behind=np.float32(behind),
    )


def _threshold(goal: Goal | None) -> np.float32:
    """On the scale on which the metric is averaged."""
    with np.errstate(over="ignore"):  # a threshold that nothing reaches
        return np.float32(on_scale(goal.metric, goal.threshold) if goal else -np.inf)
