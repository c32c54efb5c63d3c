"""What a sweep was asked, has finished and has in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from lr_batch.engine.chunk import Chunk, ChunkResult
from lr_batch.engine.chunk_status import ChunkStatus
from lr_batch.engine.identity import Identity
from lr_batch.forecast import Course, Finished, nearest, seconds_left
from lr_batch.problem.workload import Goal
from lr_batch.result import DIVERGED, REACHED, Trial

NOTHING: Mapping[int, Sequence[int]] = MappingProxyType({})


class Best(NamedTuple):
    """Of a batch size: fewest steps to the goal, and best value of its metric at a last evaluation; NaN where unknown."""

    batch_size: int
    steps: float
    value: float

    def or_better(self, other: Best | None, goal: Goal) -> Best:
        """The better of both in each."""
        if other is None:
            return self
        better = np.fmax if goal.above else np.fmin
        steps, value = np.fmin(self.steps, other.steps), better(self.value, other.value)
        return Best(self.batch_size, float(steps), float(value))


class Progress(NamedTuple):
    """How far a study is.

    `trials_done` counts trials, `trials_trained` those of them that this run trained; `alive` are in training and
    have not reached the goal. A chunk has `width` lanes of `lane_bytes` each, as `lr_batch.engine.memory` estimates.
    `left` is the time that is likely to be left, in seconds, None where no step has been timed. `best` holds what is best
    so far at the batch sizes that have begun, by the goal's metric. `waiting` is the part of their time in which chunks
    waited for data, None where nothing is streamed.
    """

    chunks_done: int
    chunks: int
    trials_done: int
    trials_trained: int
    reached: int
    diverged: int
    alive: int
    seconds: float
    width: int = 0
    lane_bytes: float = 0.0
    left: float | None = None
    metric: str = ""
    best: tuple[Best, ...] = ()
    waiting: float | None = None


class Tally:
    """Counts of chunks and trials; planned chunks become more where one is cut in halves."""

    def __init__(self, goal: Goal, examples: Callable[[int, Any], Any]) -> None:
        """`examples(batch size, steps)` are those of the first steps of a trial."""
        self.goal, self.examples = goal, examples
        self.trained_trials = self.trained_examples = 0
        self._given_up = 0  # chunks
        self.trained_seconds = 0.0  # of the chunks that this run has finished
        self._read = self._worth = 0.0  # held-out rows: those read, and those that steps are worth
        self._asked: Counter[int] = Counter()  # trials of each batch size
        self._planned: Counter[int] = Counter()  # chunks of each
        self._rows: dict[str, tuple[Chunk, ChunkResult]] = {}  # by the id of the chunk
        self._finished: dict[int, Finished] = {}  # by batch size
        self._best: dict[int, Best] = {}  # of finished chunks
        self._status: Counter[str] = Counter()  # of the trials in `_rows`
        self._shares: dict[int, float] = {}  # of a whole chunk, those of this round
        self._to_come: dict[int, float] = {}  # whole chunks of later rounds
        self._beyond: dict[int, float] = {}  # whole chunks that would be added to the grid as it is now
        self._in_flight: dict[str, tuple[Chunk, ChunkStatus]] = {}
        self._waited: dict[str, tuple[float, float]] = {}  # of streamed chunks: seconds waited, and all

    def plan(
        self, chunks: Sequence[Chunk], identity: Identity, to_come: Mapping[int, Sequence[int]] = NOTHING
    ) -> None:
        """Counts the chunks that are asked for; to come are chunks of `identity` with so many lanes, by batch size."""
        self._to_come = whole_chunks(identity, to_come)
        self._beyond = {}
        shares: dict[int, list[float]] = {}
        for chunk in chunks:
            shares.setdefault(chunk.batch_size, []).append(share_of_chunk(chunk))
        self._shares = {size: sum(own) / len(own) for size, own in shares.items()}
        for chunk in chunks:
            self._planned[chunk.batch_size] += 1
            self._asked[chunk.batch_size] += len(chunk.settings)

    def cut(self, pieces: Sequence[Chunk]) -> None:
        """One chunk has become several, or is given up."""
        self._given_up += not pieces
        for chunk in pieces[1:]:
            self._planned[chunk.batch_size] += 1

    def expect_beyond(self, batch_size: int, identity: Identity, lanes: Sequence[int]) -> None:
        """Chunks with so many lanes are likely to be added beyond the edge of the grid at a batch size; none for none.

        As many are expected at those nearby of which nothing is known yet.
        """
        self._beyond[batch_size] = whole_chunks(identity, {batch_size: lanes}).get(batch_size, 0.0)

    def tells_more(self, batch_size: int) -> bool:
        """Whether the chunks finished at a batch size have become twice as many, or all: worth another look at them."""
        done = self._finished[batch_size].chunks
        return done & (done - 1) == 0 or done >= self._planned[batch_size]

    def accept(self, chunk: Chunk, rows: ChunkResult) -> None:
        """Takes the rows of a finished chunk."""
        self._rows[chunk.id] = (chunk, rows)
        self._status.update(rows.status)
        size, steps = chunk.batch_size, max(1, int(rows.steps.max()))
        self._finished[size] = self._finished.get(size, Finished()).plus(
            steps, rows.seconds / share_of_chunk(chunk)
        )
        values = rows.values[-1] if len(rows.values) else np.full(1, np.nan)
        best = np.fmax if self.goal.above else np.fmin
        own = Best(size, float(np.fmin.reduce(rows.steps_to_goal)), float(best.reduce(values)))
        self._best[size] = own.or_better(self._best.get(size), self.goal)

    def note(self, chunk: Chunk, outcome: ChunkStatus | ChunkResult) -> None:
        """Takes what a worker says of a chunk that this run trains."""
        if isinstance(outcome, ChunkStatus):
            self._in_flight[chunk.id] = (chunk, outcome)
            if outcome.waited is not None:
                self._waited[chunk.id] = (outcome.waited, outcome.seconds)
            return
        self._in_flight.pop(chunk.id, None)
        self.accept(chunk, outcome)
        self.trained_trials += len(chunk.settings)
        self.trained_seconds += outcome.seconds
        self.trained_examples += int(np.sum(self.examples(chunk.batch_size, outcome.steps)))

    def note_costs(self, lanes: int, read: float, worth: float) -> None:
        """Takes the costs of each lane of a chunk that this run has trained, see `counted_costs`."""
        self._read += lanes * read
        self._worth += lanes * worth

    @property
    def evaluation_share(self) -> float:
        """Of the time of steps and evaluations; 0 where there were none."""
        return self._read / (self._read + self._worth) if self._read else 0.0

    @property
    def waiting(self) -> float | None:
        """Part of the time of streamed chunks that this run has trained in which they waited for data."""
        waited, seconds = (
            (sum(times) for times in zip(*self._waited.values(), strict=True)) if self._waited else (0, 0)
        )
        return waited / seconds if seconds else None

    def trials(self, batch_size: int | None = None) -> Iterator[Trial]:
        """All finished trials, or those of a batch size."""
        kept = self._rows.values()
        wanted = (row for row in kept if batch_size in (None, row[0].batch_size))
        return (trial for chunk, rows in wanted for trial in rows.trials(chunk))

    def missing(self) -> Counter[int]:
        """Trials of each batch size that are not finished, or did not fit into memory."""
        done = Counter(chunk.batch_size for chunk, rows in self._rows.values() for _ in rows.status)
        return self._asked - done

    def about_missing(self) -> str:
        """The missing trials of a run that came to its time limit, in a sentence."""
        missing = self.missing()
        sizes = ", ".join(
            f"{size} ({count:,} of {self._asked[size]:,})" for size, count in sorted(missing.items())
        )
        return (
            f"time limit: {missing.total():,} of {self._asked.total():,} trials are missing, at batch sizes {sizes}; all "
            "that is finished is kept, and the same command goes on"
        )

    def left(self, **costs: Any) -> float | None:
        """Seconds that are likely to be left; `costs` as of `seconds_left`."""
        in_flight = [
            Course(chunk.batch_size, status.step, status.end, status.seconds_per_step, share_of_chunk(chunk))
            for chunk, status in self._in_flight.values()
        ]
        begun = Counter({size: done.chunks for size, done in self._finished.items()})
        unbegun = self._planned - begun - Counter(course.batch_size for course in in_flight)
        whole = {size: number * self._shares.get(size, 1.0) for size, number in unbegun.items()}
        known = self._beyond
        beyond = {size: known[nearest(known, size)] for size in self._shares} if known else {}
        parts = (self._to_come, beyond, whole)
        waiting = {size: sum(part.get(size, 0.0) for part in parts) for size in set().union(*parts)}
        return seconds_left(self._finished, in_flight, waiting, **costs)

    def best(self) -> tuple[Best, ...]:
        """What is best so far at each batch size that has begun, ascending."""
        found = dict(self._best)
        for chunk, status in self._in_flight.values():
            here = Best(chunk.batch_size, status.best_steps, status.best_value)
            found[chunk.batch_size] = here.or_better(found.get(chunk.batch_size), self.goal)
        return tuple(found[size] for size in sorted(found))

    def progress(self, seconds: float, width: int, lane_bytes: float, left: float | None) -> Progress:
        in_flight = [status for _, status in self._in_flight.values()]
        return Progress(
            chunks_done=len(self._rows),
            chunks=self._planned.total() - self._given_up,
            trials_done=self._status.total(),
            trials_trained=self.trained_trials,
            reached=self._status[REACHED] + sum(status.reached for status in in_flight),
            diverged=self._status[DIVERGED],
            alive=sum(status.alive - status.reached for status in in_flight),
            seconds=seconds,
            width=width,
            lane_bytes=lane_bytes,
            left=left,
            metric=self.goal.metric,
            best=self.best(),
            waiting=self.waiting,
        )


def share_of_chunk(chunk: Chunk) -> float:
    """Of the time of a chunk whose lanes are all trained."""
    return chunk.identity.share(len(chunk.settings))


def whole_chunks(identity: Identity, lanes: Mapping[int, Sequence[int]]) -> dict[int, float]:
    """Chunks with so many lanes each, as parts of whole ones, by batch size."""
    return {size: sum(identity.share(number) for number in each) for size, each in lanes.items() if each}
