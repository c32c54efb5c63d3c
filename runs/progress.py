"""How far a study is, on stderr: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import IO

from lr_batch import Progress
from optim.names import counted

PLAIN_SECONDS = 5.0  # between two plain lines


class ProgressLine:
    """Callable for `lr_batch.run(on_chunk=...)`; use it as a context manager.

    A closed or broken stderr ends the progress, never the study.
    """

    def __init__(self, stream: IO[str] | None = None):
        self.stream = sys.stderr if stream is None else stream
        self.live = None
        self.last_line = 0.0
        self.begun = False

    def __enter__(self) -> ProgressLine:
        if self.stream is not None and self.stream.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(file=self.stream), refresh_per_second=8, transient=True)
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, progress: Progress) -> None:
        if not self.begun and progress.width and progress.chunks_done < progress.chunks:
            self.begun = True
            self._print(f"chunk: {counted(progress.width, 'lane')} x {progress.lane_bytes / 1e6:.3g} MB")
        if self.live:
            self.live.update(f"  {describe(progress, self.live.console.width - 2)}")
        elif time.monotonic() - self.last_line > PLAIN_SECONDS or progress.chunks_done == progress.chunks:
            self.last_line = time.monotonic()
            self._print(describe(progress))

    def _print(self, line: str) -> None:
        if self.stream is None:
            return
        try:
            if self.live:
                self.live.console.print(line, markup=False, highlight=False)
            else:
                print(line, file=self.stream, flush=True)
        except (OSError, ValueError):  # closed in the meantime
            self.stream = None


def describe(progress: Progress, columns: float = math.inf) -> str:
    """One line: chunks, trials by what became of them, rate, time left; less of it where columns are few."""
    if progress.chunks_done == progress.chunks and not progress.trials_trained:
        if progress.trials_done == 1:
            return "the trial was finished before, it is not trained again"
        return f"all {progress.trials_done:,} trials were finished before, none is trained again"
    rate = progress.trials_trained / progress.seconds if progress.seconds else 0.0
    chunks, left = f"chunks {progress.chunks_done}/{progress.chunks}", _left(progress)
    trials = f"trials {progress.trials_done:,}: {progress.reached:,} reached"
    diverged, alive = f"{progress.diverged:,} diverged", f"{progress.alive:,}"
    lines = (
        f"{chunks}, {trials}, {diverged}, {alive} in training, {rate:.1f} trials/s, {left}",
        f"{chunks}, {trials}, {diverged}, {alive} alive, {left}",
        f"{chunks}, {trials}, {left}",
        f"{chunks}, {left}",
    )
    return next((line for line in lines if len(line) <= columns), chunks)


def _left(progress: Progress) -> str:
    if not progress.trials_trained:
        return "time left unknown"
    missing = (progress.chunks - progress.chunks_done) * progress.trials_done / progress.chunks_done
    return f"about {duration(missing * progress.seconds / progress.trials_trained)} left"


def duration(seconds: float) -> str:
    """A time in two units at most."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
