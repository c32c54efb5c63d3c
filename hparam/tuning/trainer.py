"""Trains what a search proposes: rows of a proposal become lanes of chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from hparam.search import FRESH, FULL, Proposal
from hparam.tuning.loss import loss_of
from hparam.tuning.plan import TuningPlan
from lr_batch import ChunkStore, Programs, StudyError, check
from lr_batch.engine import (
    Carry,
    ChunkPlan,
    ChunkResult,
    Source,
    Task,
    Terms,
    gather_lanes,
    run_chunk,
    run_segment,
    run_tasks,
    run_within_memory,
    segment_cadence,
    terms_of,
    worker_devices,
)


class Origin(NamedTuple):
    """Where a lane comes from: it will be known as `id`, goes on from segment `continues`, and is trained from step
    `start` to `steps`."""

    id: int
    continues: int
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
      programs: as for `lr_batch.run`.
      width: as for `tune`.
    """

    def __init__(
        self,
        plan: TuningPlan,
        store: ChunkStore | None = None,
        *,
        workers: int | None = None,
        programs: Programs | None = None,
        width: int | None = None,
    ):
        self.plan, self.store, self.programs = plan, store, programs or Programs()
        self.devices, self.cadence = worker_devices(workers), plan.cadence
        check(plan.study, to_goal=plan.to_goal)
        chunk_plan = ChunkPlan.of(plan.study, useful=plan.width, kept=width)
        self.chunk_plan = chunk_plan._replace(identity=plan.trial_identity(chunk_plan.identity))
        self.tasks: dict[int, Task] = {}  # by the ids of their segments
        self.lanes: dict[int, Source] = {}  # of segments that may go on, by id
        self.trained_steps = 0  # of all lanes, in this process
        self.events: list[str] = []

    def train(self, proposal: Proposal) -> Float[np.ndarray, " n"]:
        """The loss of every row, infinite where the trial diverged."""
        losses: dict[int, float] = {}

        def is_finished(task):
            self.tasks |= {origin.id: task for origin in task.origins}
            known = self._stored(task)
            losses.update(self._losses(task, known) if known else {})
            return known is not None

        missing = self.chunk_plan.unfinished(self._tasks_of(proposal), is_finished, self._note_halves)
        for task, result in self._run(missing):
            losses |= self._losses(task, result)
        return np.array([losses[i] for i in proposal.id.tolist()])

    def _stored(self, task: Task) -> ChunkResult | None:
        known = self.store.load(task.chunk) if self.store is not None else None
        return known if isinstance(known, ChunkResult) else None

    def _tasks_of(self, proposal: Proposal) -> Iterable[Task]:
        """Groups in lock-step, cut to the width of the program."""
        for group in proposal.chunks():
            for first in range(0, len(group), self.chunk_plan.width):
                yield self._task(proposal.take(group[first : first + self.chunk_plan.width]))

    def _task(self, rows: Proposal) -> Task:
        steps, repeat = int(rows.steps[0]), int(rows.repeat[0])
        settings = tuple(
            {name: float(column[i]) for name, column in rows.settings.items()} | dict(self.plan.fixed)
            for i in range(len(rows))
        )
        columns = (rows.id, rows.continues, rows.start, rows.steps)
        origins = tuple(map(Origin, *(column.tolist() for column in columns)))
        continues = [origin.continues for origin in origins]
        # An id stands for all that went before, so these describe the lanes that go on completely.
        segment = {"steps": steps, "continues": [] if continues[0] == FRESH else continues}
        chunk_plan = self.chunk_plan._replace(identity=self.chunk_plan.identity._replace(segment=segment))
        seed = self.plan.first_seed + repeat
        (task,) = chunk_plan.tasks(self.plan.study.batch_sizes[0], seed, settings, origins=origins)
        return task

    def _run(self, tasks: list[Task]) -> Iterable[tuple[Task, ChunkResult]]:
        self._bring_back({origin.continues for task in tasks for origin in task.origins} - {FRESH})
        for task, result, carry in run_tasks(tasks, self._run_task, self.devices):
            if carry is not None:
                self.lanes |= {origin.id: (carry, lane) for lane, origin in enumerate(task.origins)}
            self.trained_steps += int(np.maximum(result.steps - task.origins[0].start, 0).sum())
            yield task, result

    def _bring_back(self, ids: set[int]) -> None:
        """Trains segments again of which only the rows were stored."""
        lost = {self.tasks[i].chunk.id: self.tasks[i] for i in ids if i not in self.lanes}
        if lost:
            fitting = self.chunk_plan.unfinished(lost.values(), lambda task: False, self._note_halves)
            list(self._run(fitting))

    def _run_task(self, task: Task, device: jax.Device, emit: Callable) -> list[Task]:
        """In a worker's thread. Returns the two halves of a chunk that did not fit into memory."""

        def finish(task):
            result, carry = self._train_chunk(task, device)
            if self.store is not None:
                self.store.save(task.chunk, result)
            emit((task, result, carry))

        return run_within_memory(task, finish, self._note_halves)

    def _note_halves(self, halves: list[Task], event: str) -> None:
        if not halves:
            raise StudyError(f"tune: {event}")
        self.events += [event] if event not in self.events else []

    def _train_chunk(self, task: Task, device: jax.Device) -> tuple[ChunkResult, Carry | None]:
        engine = self.programs.engine(
            self.plan.study, task.width, self.chunk_plan.execution, max_evals=len(self.cadence)
        )
        terms = self._terms(task)
        if (
            task.origins[0].steps == FULL
        ):  # nothing goes on from its end, and a long one is checkpointed on its way
            result = run_chunk(engine, device, task.chunk, terms, store=self.store)
            assert result is not None  # only what may be late stops before its end
            return result, None
        sources = [self.lanes[origin.continues] for origin in task.origins if origin.continues != FRESH]
        carry = gather_lanes(sources, engine.axes, task.width) if sources else None
        return run_segment(engine, device, task.chunk, terms, carry)

    def _terms(self, task: Task) -> Terms:
        study, origin = self.plan.study, task.origins[0]
        cadence, num = segment_cadence(self.cadence, origin.start, origin.steps or study.max_steps)
        return terms_of(
            study.as_trained(task.chunk.settings, task.chunk.batch_size),
            task.width,
            batch_size=study.batch_table(task.chunk.batch_size),
            cadence=cadence,
            num_evals=num,
            goal=study.goal if self.plan.to_goal else None,
            time_constant=study.time_constant,
            start=origin.start,
        )

    def _losses(self, task: Task, result: ChunkResult) -> dict[int, float]:
        return {origin.id: self._loss(result, lane) for lane, origin in enumerate(task.origins)}

    def _loss(self, result: ChunkResult, lane: int) -> float:
        return loss_of(
            result.status[lane],
            float(result.steps_to_goal[lane]),
            float(result.values[-1, lane]),
            self.plan.study.goal,
            budget=self.plan.study.max_steps,
            to_goal=self.plan.to_goal,
        )
