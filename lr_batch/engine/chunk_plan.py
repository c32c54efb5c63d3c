"""How trials are laid out in chunks, and what becomes of a chunk that does not fit into memory.

The one planner of sweeps, of `lr_batch.generalize` and of `hparam.tuning`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from lr_batch.engine.chunk import Chunk, ChunkResult
from lr_batch.engine.execution_choice import choose_execution
from lr_batch.engine.identity import Identity
from lr_batch.engine.memory import chunk_width
from lr_batch.engine.processes import agreed
from lr_batch.problem.brisk import refuse_batched
from lr_batch.problem.mesh_shape import ALONE, read_mesh
from lr_batch.study import Study
from optim.names import counted

MOST_LANES = 65_536  # of a chunk


class Task(NamedTuple):
    """A chunk to run, and the lanes of its program.

    `first` is the fewest steps to goal known at its batch size and seed; `origins[i]` holds what the caller has to
    know of lane i, and stays with it when the chunk is cut; `before` are chunks from whose lanes it goes on, the oldest
    first, where it is handed to who may not have them.
    """

    chunk: Chunk
    width: int
    first: float = np.inf
    origins: tuple[Any, ...] = ()
    before: tuple[Any, ...] = ()  # tasks

    def halves(self) -> list[Task]:
        """The same trials in chunks of half the width; none where a single trial was too large."""
        # Of devices, with as many lanes each
        rows = (read_mesh(self.chunk.identity.mesh or None) or ALONE).lane
        if self.width == rows:
            return []
        width = -(-self.width // (2 * rows)) * rows
        narrow = self.chunk._replace(identity=self.chunk.identity._replace(width=width))
        cuts = [slice(start, start + width) for start in range(0, len(narrow.settings), width)]
        return [
            self._replace(
                chunk=narrow._replace(settings=narrow.settings[cut]), width=width, origins=self.origins[cut]
            )
            for cut in cuts
        ]

    def __str__(self) -> str:
        return f"batch size {self.chunk.batch_size}, seed {self.chunk.seed}"


class ChunkPlan(NamedTuple):
    """Lanes of a chunk, how they are executed, and what the trials have in common.

    `fits` are the lanes that memory allows: fewer than `width` where a study began with more of it.
    """

    width: int
    execution: str
    identity: Identity
    fits: int

    @classmethod
    def of(cls, study: Study, *, useful: int | None = None, kept: int | None = None) -> ChunkPlan:
        """As wide as memory allows, and no wider than is useful; or as wide as the chunks that are kept.

        Args:
          study: what is to be trained.
          useful: lanes; None for as many as the study has settings.
          kept: lanes of the finished chunks of a study that goes on, which are found by them.

        Raises:
          StudyError: if the model, loss or optimizer cannot be compiled.
          ValueError: for a width that no chunk has, and for brisk races of lanes that are all batched.
        """
        if kept is not None and not 1 <= kept <= MOST_LANES:
            raise ValueError(f"width must be from 1 to {MOST_LANES:,} lanes, got {kept}")
        identity = Identity.of(study, width=0, execution=study.lanes)  # first: says what cannot be compiled
        fits = agreed(lambda: chunk_width(study, useful=kept or useful))
        width = kept or fits
        execution = agreed(lambda: choose_execution(study, fits))
        refuse_batched(study.workload.name, execution, width, brisk=study.brisk)
        return cls(width, execution, identity._replace(width=width, lanes=execution), fits)

    def tasks(
        self,
        batch_size: int,
        seed: int,
        settings: Sequence[Mapping[str, float]],
        *,
        first: float = np.inf,
        origins: Sequence[Any] = (),
        until: int | None = None,
    ) -> list[Task]:
        """The settings in chunks of at most `width`; trained `until` a step where the budget is not their end."""
        cuts = [slice(start, start + self.width) for start in range(0, len(settings), self.width)]
        identity = self.identity if until is None else self.identity._replace(segment={"steps": until})
        chunks = [Chunk(identity, batch_size, seed, tuple(settings[cut])) for cut in cuts]
        parts = [tuple(origins[cut]) for cut in cuts]
        return [Task(chunk, self.width, first, part) for chunk, part in zip(chunks, parts, strict=True)]

    def unfinished(
        self,
        tasks: Iterable[Task],
        is_finished: Callable[[Task], bool],
        on_halved: Callable[[list[Task], str], None],
    ) -> list[Task]:
        """What is left of the tasks, in chunks that fit into the memory there is now.

        Args:
          tasks: of the width of the plan, or halves of these.
          is_finished: whether a task, or a half of one, is kept; it may take the result over.
          on_halved: as of `run_within_memory`.
        """
        left = []
        for task in tasks:
            if is_finished(task):
                continue
            if task.width <= self.fits:
                left.append(task)
                continue
            halves = task.halves()
            on_halved(
                halves, f"memory allows {counted(self.fits, 'lane')} now, finished chunks have {self.width}"
            )
            left += self.unfinished(halves, is_finished, on_halved)
        return left


@runtime_checkable
class HandOut(Protocol):
    """Trains the chunks of a study somewhere else than in this process.

    Attributes:
      given_up: a line for each chunk that was begun and could not be finished, which another run may finish.
    """

    given_up: list[str]

    def __call__(
        self,
        study: Study,
        tasks: Sequence[Task],
        on_halved: Callable[[list[Task], str], None],
        is_late: Callable[[], bool],
    ) -> Iterator[tuple[Chunk, ChunkResult]]:
        """Yields chunks with their rows, as they are finished; the rows are stored when it is asked for the next.

        Args:
          study: whose chunks they are, with `lanes` as they are executed.
          tasks: in the order in which they should be begun.
          on_halved: as of `run_within_memory`; without halves also of a chunk that is given up.
          is_late: where it says so, nothing is waited for any more.
        """
        ...


def run_within_memory(
    task: Task, run: Callable[[Task], None], on_halved: Callable[[list[Task], str], None]
) -> list[Task]:
    """Runs a task. Returns what is left to run: nothing, or its two halves where memory did not suffice.

    Args:
      task: to run.
      run: of it, which may raise a JaxRuntimeError.
      on_halved: called with the halves (none where a single trial does not fit) and an event in one line.
    """
    try:
        run(task)
        return []
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return halved(task, on_halved)


def halved(task: Task, on_halved: Callable[[list[Task], str], None]) -> list[Task]:
    """The halves of a task that did not fit into memory, after `on_halved` was told."""
    halves = task.halves()
    event = (
        f"{task}: out of memory with {counted(task.width, 'lane')}, went on with {halves[0].width}"
        if halves
        else (f"{task}: infeasible, out of memory with a single trial: {dict(task.chunk.settings[0])}")
    )
    on_halved(halves, event)
    return halves


def is_out_of_memory(error: jax.errors.JaxRuntimeError) -> bool:
    return "RESOURCE_EXHAUSTED" in str(error)
