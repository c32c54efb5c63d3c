"""Trains the chunks of a search: a trial may end before its budget, and go on later with the lanes that it had.

A chunk with what its segments go on from (`Task.before`) is all that its numbers depend on. So it may be trained
anywhere: lanes that are not at hand are trained again, to the same bits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from hparam.search import FRESH, FULL
from hparam.tuning.plan import trial_cadence
from lr_batch import ChunkStore, Programs, Study
from lr_batch.engine import (
    Carry,
    Checkpoint,
    ChunkResult,
    Engine,
    Source,
    Task,
    Terms,
    gather_lanes,
    restored,
    run_chunk,
    run_segment,
    segment_cadence,
    terms_of,
)


class Origin(NamedTuple):
    """Where a lane comes from: it will be known as `id`, goes on from segment `continues`, and is trained from step
    `start` to `steps`."""

    id: int
    continues: int
    start: int
    steps: int


def by_id(tasks: Iterable[Task]) -> dict[int, Task]:
    """Tasks by the ids of their segments."""
    return {origin.id: task for task in tasks for origin in task.origins}


def parents(task: Task) -> list[int]:
    """Ids of the segments from which a task goes on."""
    return sorted({origin.continues for origin in task.origins} - {FRESH})


def before(task: Task, known: Mapping[int, Task]) -> tuple[Task, ...]:
    """The tasks from whose lanes a task goes on, and those before them, oldest first."""
    found: dict[str, Task] = {}
    for parent in parents(task):
        one = known[parent]
        found |= {older.chunk.id: older for older in before(one, known)}
        found[one.chunk.id] = one
    return tuple(found.values())


class Segments:
    """Runs chunks of one search; the lanes of those that may go on are kept in memory. Safe to use from several threads.

    Args:
      study, to_goal: as in `TuningPlan`.
      programs: what is compiled is kept there.
      ends: keeps lanes for other processes too.
      kept: lanes to keep in memory at most, the last ones.
    """

    def __init__(
        self,
        study: Study,
        *,
        to_goal: bool,
        programs: Programs,
        ends: ChunkStore | None = None,
        kept: float = float("inf"),
    ):
        self.study, self.to_goal, self.programs, self.ends, self.kept = study, to_goal, programs, ends, kept
        self.cadence = trial_cadence(study, to_goal)
        self.lanes: dict[int, Source] = {}  # by the id of their segment
        self._keeping = threading.Lock()

    def run(
        self,
        task: Task,
        device: jax.Device,
        *,
        store: ChunkStore | None = None,
        is_late: Callable[[], bool] = lambda: False,
    ) -> ChunkResult | None:
        """The rows of a task's chunk; None where it was late.

        Args:
          task: with the origins of its lanes; `before` holds what they go on from, where that is not in memory.
          device, store, is_late: see `lr_batch.engine.run_chunk`.
        """
        if task.origins[0].steps == FULL:
            # Nothing goes on from its end, and a long one is checkpointed on its way.
            engine, terms = self._engine(task), self._terms(task)
            return run_chunk(engine, device, task.chunk, terms, store=store, is_late=is_late)
        result, carry = self._trained(task, device)
        if self.ends is not None:
            self.ends.save(task.chunk, Checkpoint(int(carry.draw.step), carry))
        return result

    def _trained(self, task: Task, device: jax.Device) -> tuple[ChunkResult, Carry]:
        engine, known = self._engine(task), by_id(task.before)
        sources = {segment: self._source(segment, known, device) for segment in parents(task)}
        lanes = [sources[origin.continues] for origin in task.origins if sources]
        carry = gather_lanes(lanes, engine.axes, task.width) if lanes else None
        result, carry = run_segment(engine, device, task.chunk, self._terms(task), carry)
        self._keep(task, carry)
        return result, carry

    def _source(self, segment: int, known: Mapping[int, Task], device: jax.Device) -> Source:
        if (source := self.lanes.get(segment)) is not None:
            return source
        task = known[segment]
        carry = self._kept_elsewhere(task, device)
        if carry is None:
            _, carry = self._trained(task._replace(before=before(task, known)), device)
        self._keep(task, carry)
        return carry, [origin.id for origin in task.origins].index(segment)

    def _kept_elsewhere(self, task: Task, device: jax.Device) -> Carry | None:
        kept = self.ends.load(task.chunk) if self.ends is not None else None
        if not isinstance(kept, Checkpoint):
            return None
        valid = np.arange(task.width) < len(task.chunk.settings)
        fresh = self._engine(task).start(device, self._terms(task), task.chunk.seed, valid, np.inf)
        return restored(kept, fresh)

    def _keep(self, task: Task, carry: Carry) -> None:
        with self._keeping:
            self.lanes |= {origin.id: (carry, lane) for lane, origin in enumerate(task.origins)}
            while len(self.lanes) > self.kept:
                del self.lanes[next(iter(self.lanes))]

    def _engine(self, task: Task) -> Engine:
        width, lanes = task.width, task.chunk.identity.lanes
        return self.programs.engine(self.study, width, lanes, max_evals=len(self.cadence))

    def _terms(self, task: Task) -> Terms:
        study, origin = self.study, task.origins[0]
        cadence, num = segment_cadence(self.cadence, origin.start, origin.steps or study.max_steps)
        return terms_of(
            study.as_trained(task.chunk.settings, task.chunk.batch_size),
            task.width,
            batch_size=study.batch_table(task.chunk.batch_size),
            cadence=cadence,
            num_evals=num,
            goal=study.goal if self.to_goal else None,
            time_constant=study.time_constant,
            start=origin.start,
        )
