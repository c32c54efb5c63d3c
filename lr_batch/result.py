"""What a study leaves behind: its trials, as columns."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lr_batch.design import Searched
from lr_batch.problem.batch_schedule import BatchSchedule, steps_of_trials
from lr_batch.problem.changes import CHANGE, plain_space
from lr_batch.problem.lengths import BUDGET as SHARE_OF_BUDGET
from lr_batch.problem.lengths import Length
from lr_batch.problem.reaching import reached_by
from lr_batch.problem.scheduled import Schedule
from lr_batch.problem.workload import Goal
from optim.arguments import explain_arguments

REACHED, BUDGET, DIVERGED = "reached", "budget", "diverged"


class Curve(NamedTuple):
    """Held-out goal metric of one trial at each of its evaluations."""

    steps: Int[np.ndarray, " evals"]
    values: Float[np.ndarray, " evals"]

    @classmethod
    def while_alive(cls, steps: Int[np.ndarray, " evals"], values: Float[np.ndarray, " evals"]) -> Curve:
        """Without the evaluations, NaN, at which the trial had diverged or was no longer trained."""
        alive = np.isfinite(values)
        return cls(steps[alive], values[alive])


class Trial(NamedTuple):
    """One training run.

    `steps_to_goal` is interpolated between the two evaluations around the
    crossing of the averaged metric, hence a float; None where the goal was not reached. `status` is
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


def place(batch_size: int, seed: int, hparams: Mapping[str, float]) -> tuple:
    """What tells a trial from all others of a study."""
    return batch_size, seed, *sorted(hparams.items())


def cell_of(trial: Trial) -> tuple:
    return place(trial.batch_size, trial.seed, trial.hparams)


@explain_arguments
def longest_trials(trials: Iterable[Trial]) -> list[Trial]:
    """One trial for each batch size, seed and setting: the one that was trained longest.

    A search with rungs trains the best of its trials for longer, and a grid that was added to is raced again as a whole.
    """
    kept: dict[tuple, Trial] = {}
    for trial in trials:
        cell = cell_of(trial)
        if cell not in kept or trial.steps > kept[cell].steps:
            kept[cell] = trial
    return list(kept.values())


class EngineReport(NamedTuple):
    """What the machine did for a result; times in seconds.

    `evaluation_share` is the evaluations' part of the time of steps and evaluations, by the rows and examples that they
    read (see `lr_batch.engine.step_cost`) and no clock; 0 where nothing was trained.
    """

    seconds: float
    compile_seconds: float
    programs_compiled: int
    examples: int
    device: str
    chunk_width: int
    trials_per_second: float
    events: tuple[str, ...] = ()
    evaluation_share: float = 0.0


class Result(NamedTuple):
    """Trials as columns: row i of every column belongs to trial i.

    `steps_to_goal` is NaN where the goal was not reached; such a trial is
    censored at `steps`, the number of steps that it was trained for.
    `time_constant` is that of the average in log step by which goals were reached, 0
    where it was the first evaluation, see `lr_batch.problem.reaching`. Under a `schedule`
    the learning rate of `hparams` is the peak. `searched` are the ranges of a search; None for a grid.
    Under a `batch_schedule` the batch size is that of the first steps. `grid_trials` are those of the
    whole grid where the best rate was followed through it, see `lr_batch.following`; None where all were asked for.
    """

    workload: str
    optimizer: str
    goal: Goal
    budget: int | Length
    batch_size: Int[np.ndarray, " trials"]
    seed: Int[np.ndarray, " trials"]
    hparams: Mapping[str, Float[np.ndarray, " trials"]]
    steps_to_goal: Float[np.ndarray, " trials"]
    steps: Int[np.ndarray, " trials"]
    status: np.ndarray
    curves: tuple[Curve, ...]
    engine: EngineReport
    time_constant: float = 0.0
    schedule: Schedule | None = None
    searched: Searched | None = None
    batch_schedule: BatchSchedule | None = None
    grid_trials: int | None = None

    @classmethod
    def from_trials(
        cls,
        trials: Iterable[Trial],
        *,
        workload: str,
        optimizer: str,
        goal: Goal,
        budget: int | Length,
        hparams: Iterable[str],
        engine: EngineReport,
        time_constant: float = 0.0,
        schedule: Schedule | None = None,
        searched: Searched | None = None,
        batch_schedule: BatchSchedule | None = None,
        grid_trials: int | None = None,
    ) -> Result:
        """The trials in the order of batch sizes, seeds and settings, whatever the order they come in.

        Args:
          trials: each with all of `hparams`.
          workload, optimizer: their names.
          goal: of all trials.
          budget: of all trials, in steps or in examples.
          hparams: names, by whose values settings are ordered, the first one first.
          engine: what the machine did for the trials.
          time_constant: of the average that reached the goal.
          schedule: of the learning rate; None where it stays.
          searched: the ranges of a search; None for a grid.
          batch_schedule: how batches grow; None where they stay.
          grid_trials: of the grid through which the best rate was followed; None where it was not.
        """
        names = tuple(hparams)
        place = lambda trial: (trial.batch_size, trial.seed, *(trial.hparams[name] for name in names))
        trials = sorted(trials, key=place)
        column = lambda of, dtype: np.array([of(trial) for trial in trials], dtype)
        return cls(
            workload=workload,
            optimizer=optimizer,
            goal=goal,
            budget=budget,
            batch_size=column(lambda trial: trial.batch_size, np.int64),
            seed=column(lambda trial: trial.seed, np.int64),
            hparams={
                name: column(lambda trial, name=name: trial.hparams[name], np.float64) for name in names
            },
            steps_to_goal=column(
                lambda trial: np.nan if trial.steps_to_goal is None else trial.steps_to_goal, np.float64
            ),
            steps=column(lambda trial: trial.steps, np.int64),
            status=column(lambda trial: trial.status, object),
            curves=tuple(trial.curve for trial in trials),
            engine=engine,
            time_constant=time_constant,
            schedule=schedule,
            searched=searched,
            batch_schedule=batch_schedule,
            grid_trials=grid_trials,
        )

    @property
    def reached_by(self) -> str:
        """The rule by which the goal was reached, in a few words."""
        return reached_by(self.time_constant)

    @property
    def spent(self) -> Bool[np.ndarray, " trials"]:
        """Which trials were trained for the whole budget."""
        return self.steps >= steps_of_trials(self.budget, self.batch_size, self.batch_schedule)

    def examples(self, batch_size: int, steps: Any) -> Any:
        """Examples of the first `steps` of the trials that begin with a batch size."""
        if self.batch_schedule is None:
            return steps * batch_size
        return self.batch_schedule.examples(batch_size, self.budget, steps)

    @property
    def rate_name(self) -> str:
        """What the learning rate of `hparams` is."""
        return "peak learning rate" if self.schedule else "learning rate"

    @property
    def has_rate(self) -> bool:
        """Whether a trial has one learning rate, or one peak of it: not where a search changes settings on the way."""
        return "learning_rate" in self.hparams and not (self.searched and self.searched.changes)

    @property
    def plain_names(self) -> tuple[str, ...]:
        """Names of the hyperparameters, without those that they have after changes."""
        return tuple(plain_space(self.hparams))

    def words(self, name: str, value: float) -> str:
        """The value of a hyperparameter, for people."""
        plain, _, number = name.partition(".")
        if plain == CHANGE and number:
            return str(Length(value, SHARE_OF_BUDGET))
        length = self.schedule.length(plain, value) if self.schedule else None
        if length is None:
            return f"{value:.4g}" if self.searched else f"{value:g}"
        return str(length._replace(value=float(f"{length.value:.4g}")) if self.searched else length)

    @property
    def num_trials(self) -> int:
        return len(self.batch_size)

    def __repr__(self) -> str:
        reached = int(np.isfinite(self.steps_to_goal).sum())
        sizes = np.unique(self.batch_size)
        between = f", batch sizes {sizes[0]} to {sizes[-1]}" if len(sizes) else ""
        return (
            f"Result({self.workload} with {self.optimizer}, {self.goal}: {reached} of {self.num_trials} trials "
            f"reached it{between})"
        )

    def _repr_html_(self) -> str:
        """In a notebook: what was asked, and a row for each batch size."""
        cells = lambda tag, row: "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in row)
        rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in self._counts())
        head = cells("th", ("batch size", "trials", "reached", "diverged", "fewest steps"))
        return f"<p>{html.escape(repr(self))}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def _counts(self) -> Iterator[tuple[int, int, int, int, str]]:
        for size in np.unique(self.batch_size):
            steps, status = self.steps_to_goal[self.batch_size == size], self.status[self.batch_size == size]
            known = steps[np.isfinite(steps)]
            fewest = f"{known.min():,.4g}" if len(known) else ""
            yield int(size), len(steps), len(known), int((status == DIVERGED).sum()), fewest

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The trials as a flat table: a hyperparameter NAME is the column `hparam.NAME`; curves are left out."""
        return {
            "batch_size": self.batch_size,
            "seed": self.seed,
            **{f"hparam.{name}": column for name, column in self.hparams.items()},
            "status": self.status,
            "steps_to_goal": self.steps_to_goal,
            "steps": self.steps,
        }

    def to_pandas(self):
        """`columns` as a pandas.DataFrame; needs pandas."""
        import pandas

        return pandas.DataFrame(self.columns)

    def to_arrow(self):
        """`columns` as a pyarrow.Table; needs pyarrow."""
        import pyarrow

        return pyarrow.table({name: pyarrow.array(column.tolist()) for name, column in self.columns.items()})

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
