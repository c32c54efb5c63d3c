"""What a study leaves behind: its trials, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lr_batch.problem.workload import Goal

REACHED, BUDGET, DIVERGED = "reached", "budget", "diverged"


class Curve(NamedTuple):
    """Held-out goal metric of one trial at each of its evaluations."""

    steps: Int[np.ndarray, " evals"]
    values: Float[np.ndarray, " evals"]


class Trial(NamedTuple):
    """One training run.

    `steps_to_goal` is interpolated between the two evaluations around the
    crossing, hence a float; None where the goal was not reached. `status` is
    "reached", "diverged" (loss not finite), or "budget": stopped without having
    reached the goal, by the budget or by the race, after `steps` steps.
    """

    batch_size: int
    seed: int
    hparams: Mapping[str, float]
    steps_to_goal: float | None
    status: str
    curve: Curve
    steps: int


class EngineReport(NamedTuple):
    """What the machine did for a result; times in seconds."""

    seconds: float
    compile_seconds: float
    programs_compiled: int
    examples: int
    device: str
    chunk_width: int
    trials_per_second: float
    events: tuple[str, ...] = ()


class Result(NamedTuple):
    """Trials as columns: row i of every column belongs to trial i.

    `steps_to_goal` is NaN where the goal was not reached; such a trial is
    censored at `steps`, the number of steps that it was trained for.
    """

    workload: str
    optimizer: str
    goal: Goal
    budget: int
    batch_size: Int[np.ndarray, " trials"]
    seed: Int[np.ndarray, " trials"]
    hparams: Mapping[str, Float[np.ndarray, " trials"]]
    steps_to_goal: Float[np.ndarray, " trials"]
    steps: Int[np.ndarray, " trials"]
    status: np.ndarray
    curves: tuple[Curve, ...]
    engine: EngineReport

    @property
    def num_trials(self) -> int:
        return len(self.batch_size)

    @property
    def trials(self) -> Iterator[Trial]:
        for i in range(self.num_trials):
            steps_to_goal = float(self.steps_to_goal[i])
            yield Trial(
                batch_size=int(self.batch_size[i]),
                seed=int(self.seed[i]),
                hparams={name: float(column[i]) for name, column in self.hparams.items()},
                steps_to_goal=None if np.isnan(steps_to_goal) else steps_to_goal,
                status=str(self.status[i]),
                curve=self.curves[i],
                steps=int(self.steps[i]),
            )
