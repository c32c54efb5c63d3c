"""Trains what a search proposes: rows of a proposal become lanes of chunks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from hparam import FRESH, FULL, Proposal
from hparam.tuning.plan import TuningPlan
from lr_batch import DIVERGED, REACHED, ChunkStore, StudyError
from lr_batch.engine import (
    Carry,
    Chunk,
    ChunkResult,
    Engine,
    Source,
    Terms,
    choose_execution,
    gather_lanes,
    make_lane,
    run_chunk,
    run_segment,
    run_tasks,
    segment_cadence,
    state_axes,
    worker_devices,
)


class Task(NamedTuple):
    """One chunk of segments: lane i will be known as `ids[i]`, and goes on from segment `continues[i]`."""

    chunk: Chunk
    ids: tuple[int, ...]
    continues: tuple[int, ...]
    start: int
    steps: int


class Trainer:
    """Turns proposals into losses, on all workers at once; what the store holds is not trained again.

    The lanes of segments that may go on are kept in memory. A resumed search has only their rows: where one
    of them goes on it is trained again, to the same bits.

    Args:
      plan: whose proposals come.
      store: keeps the rows of finished chunks.
      workers: as for `lr_batch.run`.
    """

    def __init__(self, plan: TuningPlan, store: ChunkStore | None = None, *, workers: int | None = None):
        self.plan, self.store = plan, store
        study = plan.study
        self.devices = worker_devices(workers)
        self.cadence = plan.cadence
        execution = choose_execution(study, plan.width)
        self.identity = plan.trial_identity(execution)
        self.engine = Engine.of(study, plan.width, execution, max_evals=len(self.cadence))
        lane = make_lane(study.workload, study.lane_optimizer, study.goal.metric)
        self.axes = state_axes(lane, list(study.space), study.workload.train_data)
        self.tasks: dict[int, Task] = {}  # by the ids of their segments
        self.lanes: dict[int, Source] = {}  # of segments that may go on, by id
        self.trained_steps = 0  # of all lanes, in this process

    def sharing_programs(self, plan: TuningPlan) -> Trainer:
        """A trainer of another search over the same study at the same width, without compiling again."""
        same = lambda plan: (id(plan.study), plan.width, plan.to_goal)
        if same(plan) != same(self.plan):
            raise ValueError("sharing_programs: study, width and to_goal must be the same")
        other = copy.copy(self)
        other.plan, other.tasks, other.lanes, other.trained_steps = plan, {}, {}, 0
        return other

    def train(self, proposal: Proposal) -> Float[np.ndarray, " n"]:
        """The loss of every row, infinite where the trial diverged."""
        losses: dict[int, float] = {}
        missing = []
        for task in self._tasks_of(proposal):
            self.tasks |= dict.fromkeys(task.ids, task)
            known = self.store.load(task.chunk) if self.store else None
            if isinstance(known, ChunkResult):
                losses |= self._losses(task, known)
            else:
                missing.append(task)
        for task, result in self._run(missing):
            losses |= self._losses(task, result)
        return np.array([losses[i] for i in proposal.id.tolist()])

    def _tasks_of(self, proposal: Proposal) -> Iterable[Task]:
        """Groups in lock-step, cut to the width of the program."""
        for group in proposal.chunks():
            for first in range(0, len(group), self.plan.width):
                yield self._task(proposal.take(group[first : first + self.plan.width]))

    def _task(self, rows: Proposal) -> Task:
        start, steps, repeat = int(rows.start[0]), int(rows.steps[0]), int(rows.repeat[0])
        settings = tuple(
            {name: float(column[i]) for name, column in rows.settings.items()} | dict(self.plan.fixed)
            for i in range(len(rows))
        )
        continues = tuple(rows.continues.tolist())
        # An id stands for all that went before, so these describe the lanes that go on completely.
        segment = {"steps": steps, "continues": [] if continues[0] == FRESH else list(continues)}
        identity = self.identity._replace(segment=segment)
        chunk = Chunk(identity, self.plan.study.batch_sizes[0], self.plan.first_seed + repeat, settings)
        return Task(chunk, tuple(rows.id.tolist()), continues, start, steps)

    def _run(self, tasks: list[Task]) -> Iterable[tuple[Task, ChunkResult]]:
        self._bring_back({i for task in tasks for i in task.continues} - {FRESH})
        for task, result, carry in run_tasks(tasks, self._run_task, self.devices):
            if carry is not None:
                self.lanes |= {i: (carry, lane) for lane, i in enumerate(task.ids)}
            self.trained_steps += int(np.maximum(result.steps - task.start, 0).sum())
            yield task, result

    def _bring_back(self, ids: set[int]) -> None:
        """Trains segments again of which only the rows were stored."""
        lost = {self.tasks[i].chunk.id: self.tasks[i] for i in ids if i not in self.lanes}
        if lost:
            list(self._run(list(lost.values())))

    def _run_task(self, task: Task, device: jax.Device, emit: Callable) -> list[Task]:
        """In a worker's thread."""
        try:
            result, carry = self._train_chunk(task, device)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            width = self.plan.width
            advice = f"try --width {width // 2}" if width > 1 else "a single trial does not fit"
            raise StudyError(f"tune: out of memory with {width} trials side by side; {advice}") from error
        if self.store:
            self.store.save(task.chunk, result)
        emit((task, result, carry))
        return []

    def _train_chunk(self, task: Task, device: jax.Device) -> tuple[ChunkResult, Carry | None]:
        terms = self._terms(task)
        if task.steps == FULL:  # nothing goes on from its end, and a long one is checkpointed on its way
            return run_chunk(self.engine, device, task.chunk, terms, store=self.store), None
        sources = [self.lanes[i] for i in task.continues if i != FRESH]
        carry = gather_lanes(sources, self.axes, self.plan.width) if sources else None
        return run_segment(self.engine, device, task.chunk, terms, carry)

    def _terms(self, task: Task) -> Terms:
        study, settings = self.plan.study, task.chunk.settings
        cadence, num = segment_cadence(self.cadence, task.start, task.steps or study.budget)
        return terms_of(
            settings,
            self.plan.width,
            batch_size=task.chunk.batch_size,
            cadence=cadence,
            num_evals=num,
            threshold=study.goal.threshold if self.plan.to_goal else -np.inf,
        )

    def _losses(self, task: Task, result: ChunkResult) -> dict[int, float]:
        return {i: self._loss(result, lane) for lane, i in enumerate(task.ids)}

    def _loss(self, result: ChunkResult, lane: int) -> float:
        """The metric at the end or the steps to the goal; infinite where the trial diverged.

        A trial that came to its end above the goal counts as budget * (1 + distance from the goal): more than
        any that reached it, and the more the farther away it was, so that a search is drawn towards the goal.
        """
        if result.status[lane] == DIVERGED:
            return float("inf")
        if result.status[lane] == REACHED:
            return float(result.steps_to_goal[lane])
        value = float(result.values[-1, lane])
        if not self.plan.to_goal:
            return value
        return self.plan.study.budget * (1 + value - self.plan.study.goal.threshold)
