"""Trains what a search proposes: rows of a proposal become lanes of chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import numpy as np
from jaxtyping import Float

from hparam.search import FRESH, Proposal
from hparam.tuning.loss import loss_of
from hparam.tuning.plan import TuningPlan
from hparam.tuning.segments import Origin, Segments, before, by_id, parents
from lr_batch import ChunkStore, Programs, StudyError, check
from lr_batch.engine import (
    ChunkPlan,
    ChunkResult,
    HandOut,
    Task,
    refuse_mesh,
    run_tasks,
    run_within_memory,
    worker_devices,
)


class Trainer:
    """Turns proposals into losses, on all workers at once; what the store holds is not trained again.

    The lanes of segments that may go on are kept, see `Segments`. A resumed search has only their rows: where one
    of them goes on it is trained again, to the same bits.

    Args:
      plan: whose proposals come.
      store: keeps the rows of finished chunks.
      workers: as for `lr_batch.run`.
      programs: as for `lr_batch.run`.
      width, hand_out: as for `tune`.
    """

    def __init__(
        self,
        plan: TuningPlan,
        store: ChunkStore | None = None,
        *,
        workers: int | None = None,
        programs: Programs | None = None,
        width: int | None = None,
        hand_out: HandOut | None = None,
    ):
        self.plan, self.store, self.hand_out = plan, store, hand_out
        self.devices = worker_devices(workers)
        refuse_mesh("tune", plan.study)
        check(plan.study, to_goal=plan.to_goal)
        chunk_plan = ChunkPlan.of(plan.study, useful=plan.width, kept=width)
        self.chunk_plan = chunk_plan._replace(identity=plan.trial_identity(chunk_plan.identity))
        self.tasks: dict[int, Task] = {}  # by the ids of their segments
        self.segments = Segments(plan.study, to_goal=plan.to_goal, programs=programs or Programs())
        self.trained_steps = 0  # of all lanes, in this process
        self.events: list[str] = []

    def train(self, proposal: Proposal) -> Float[np.ndarray, " n"]:
        """The loss of every row, infinite where the trial diverged."""
        losses: dict[int, float] = {}

        def is_finished(task):
            self.tasks |= by_id([task])
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
        ran = self._run_here(tasks) if self.hand_out is None else self._run_elsewhere(tasks, self.hand_out)
        for task, result in ran:
            self.trained_steps += int(np.maximum(result.steps - task.origins[0].start, 0).sum())
            yield task, result

    def _run_here(self, tasks: list[Task]) -> Iterable[tuple[Task, ChunkResult]]:
        self._bring_back({parent for task in tasks for parent in parents(task)})
        yield from run_tasks(tasks, self._run_task, self.devices)

    def _run_elsewhere(self, tasks: list[Task], hand_out: HandOut) -> Iterable[tuple[Task, ChunkResult]]:
        """With all that each of them goes on from."""
        handed = {task.chunk.id: task._replace(before=before(task, self.tasks)) for task in tasks}

        def on_halved(halves: list[Task], event: str) -> None:
            handed.update({half.chunk.id: half for half in halves})
            self._note_halves(halves, event)

        never_late = lambda: False
        for chunk, result in hand_out(self.plan.study, list(handed.values()), on_halved, never_late):
            if self.store is not None:
                self.store.save(chunk, result)
            yield handed[chunk.id], result

    def _bring_back(self, ids: set[int]) -> None:
        """Trains segments again of which only the rows were stored, as many at once as there are workers."""
        lost = {self.tasks[i].chunk.id: self.tasks[i] for i in ids if i not in self.segments.lanes}
        if lost:
            fitting = self.chunk_plan.unfinished(lost.values(), lambda task: False, self._note_halves)
            list(self._run(fitting))

    def _run_task(self, task: Task, device: jax.Device, emit: Callable) -> list[Task]:
        """In a worker's thread. Returns the two halves of a chunk that did not fit into memory."""

        def finish(task):
            result = self.segments.run(task, device, store=self.store)
            assert result is not None  # only what may be late stops before its end
            if self.store is not None:
                self.store.save(task.chunk, result)
            emit((task, result))

        return run_within_memory(task, finish, self._note_halves)

    def _note_halves(self, halves: list[Task], event: str) -> None:
        if not halves:
            raise StudyError(f"tune: {event}")
        self.tasks |= by_id(halves)
        self.events += [event] if event not in self.events else []

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
