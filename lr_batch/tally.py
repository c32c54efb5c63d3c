"""What a sweep was asked, has finished and has in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lr_batch.engine.chunk import Chunk, ChunkResult
from lr_batch.engine.chunk_run import ChunkStatus
from lr_batch.result import DIVERGED, REACHED, Trial


class Progress(NamedTuple):
    """How far a study is.

    `trials_done` counts trials, `trials_trained` those of them that this run trained; `alive` are in training and
    have not reached the goal. A chunk has `width` lanes of `lane_bytes` each, as `lr_batch.engine.memory` estimates.
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


class Tally:
    """Counts of chunks and trials; `planned` chunks become more where one is cut in halves."""

    def __init__(self) -> None:
        self.planned = self.trained_trials = self.trained_examples = 0
        self._read = self._worth = (
            0.0  # held-out rows that evaluations have read, and those that steps are worth
        )
        self._asked: Counter[int] = Counter()  # trials of each batch size
        self._rows: dict[str, tuple[Chunk, ChunkResult]] = {}  # by the id of the chunk
        self._status: Counter[str] = Counter()  # of the trials in `_rows`
        self._in_flight: dict[str, ChunkStatus] = {}

    def plan(self, chunks: Iterable[Chunk]) -> None:
        """Counts the chunks that are asked for."""
        for chunk in chunks:
            self.planned += 1
            self._asked[chunk.batch_size] += len(chunk.settings)

    def accept(self, chunk: Chunk, rows: ChunkResult) -> None:
        """Takes the rows of a finished chunk."""
        self._rows[chunk.id] = (chunk, rows)
        self._status.update(rows.status)

    def note(self, chunk: Chunk, outcome: ChunkStatus | ChunkResult) -> None:
        """Takes what a worker says of a chunk that this run trains."""
        if isinstance(outcome, ChunkStatus):
            self._in_flight[chunk.id] = outcome
            return
        self._in_flight.pop(chunk.id, None)
        self.accept(chunk, outcome)
        self.trained_trials += len(chunk.settings)
        self.trained_examples += int(outcome.steps.sum()) * chunk.batch_size

    def note_costs(self, lanes: int, read: float, worth: float) -> None:
        """Takes the costs of each lane of a chunk that this run has trained, see `counted_costs`."""
        self._read += lanes * read
        self._worth += lanes * worth

    @property
    def evaluation_share(self) -> float:
        """Of the time of steps and evaluations; 0 where there were none."""
        return self._read / (self._read + self._worth) if self._read else 0.0

    def trials(self) -> Iterator[Trial]:
        """All finished trials."""
        return (trial for chunk, rows in self._rows.values() for trial in rows.trials(chunk))

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

    def progress(self, seconds: float, width: int, lane_bytes: float) -> Progress:
        in_flight = self._in_flight.values()
        return Progress(
            chunks_done=len(self._rows),
            chunks=self.planned,
            trials_done=self._status.total(),
            trials_trained=self.trained_trials,
            reached=self._status[REACHED] + sum(status.reached for status in in_flight),
            diverged=self._status[DIVERGED],
            alive=sum(status.alive - status.reached for status in in_flight),
            seconds=seconds,
            width=width,
            lane_bytes=lane_bytes,
        )
