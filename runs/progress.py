"""How far a study is, on stderr: a bar and live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from typing import IO, TYPE_CHECKING, Any

from lr_batch import Best, Progress
from optim.names import counted
from runs.notebook_cell import running_cell
from runs.text import harmless

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

PLAIN_SECONDS = 5.0  # between two plain lines
BAR = 40  # columns at most
QUIET: ContextVar[bool] = ContextVar("quiet", default=False)  # whether --quiet was given
Tell = Callable[[Sequence[str], float | None, Mapping[str, Any]], None]
UNITS = (("s", 1), ("min", 60), ("hour", 3_600))


class ProgressLine:
    """Callable for `lr_batch.run(on_chunk=...)`; use it as a context manager.

    A closed or broken stderr ends the progress, never the study.

    Args:
      stream: stderr where None, or nowhere with --quiet. In a notebook a bar in the output of its cell.
      title: of the study, above its bar.
      tell: says the same to whoever watches from elsewhere.
    """

    def __init__(self, stream: IO[str] | None = None, title: str = "", tell: Tell | None = None):
        self.stream = progress_stream() if stream is None else stream
        self.cell = running_cell() if self.stream is sys.stderr else None
        self.title, self.tell = title, tell
        self.live, self._screen = None, contextlib.ExitStack()
        self.last_line, self.last_best = 0.0, ""
        self.begun = False

    def __enter__(self) -> ProgressLine:
        self.live = self._screen.enter_context(live_on(self.stream))
        return self

    def __exit__(self, *exception: object) -> None:
        self._screen.close()

    def __call__(self, progress: Progress) -> None:
        if self.tell:
            lines = tuple(line for line in (describe(progress), describe_best(progress)) if line)
            self.tell(lines, share_done(progress), numbers(progress))
        if self.cell:
            done, lines = (
                progress.chunks_done == progress.chunks,
                (describe(progress), describe_best(progress)),
            )
            self.cell.show(self.title, share_done(progress), [line for line in lines if line], last=done)
            return
        if not self.begun and progress.width and progress.chunks_done < progress.chunks:
            self.begun = True
            self._print(f"chunk: {counted(progress.width, 'lane')} x {progress.lane_bytes / 1e6:.3g} MB")
        if self.live:
            columns = self.live.console.width - 2
            lines = (describe(progress, columns), describe_best(progress, columns))
            self.live.update(panel(self.title, share_done(progress), lines, columns))
        elif time.monotonic() - self.last_line > PLAIN_SECONDS or progress.chunks_done == progress.chunks:
            self.last_line = time.monotonic()
            self._print(describe(progress))
            self._print_best(describe_best(progress))

    def _print_best(self, line: str) -> None:
        """Where it has changed."""
        if line and line != self.last_best:
            self.last_best = line
            self._print(line)

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


def progress_stream() -> IO[str] | None:
    """Where progress goes: stderr, or nowhere with --quiet. Warnings and errors do not go here."""
    return None if QUIET.get() else sys.stderr


def say_progress(line: str) -> None:
    """One line of what is not measured in chunks; a closed or broken stderr has none."""
    if stream := progress_stream():
        with contextlib.suppress(OSError, ValueError):
            print(harmless(line), file=stream, flush=True)


@contextlib.contextmanager
def live_on(stream: IO[str] | None) -> Generator[Live | None, None, None]:
    """A part of the terminal that is drawn again and goes away at the end; None where there is no terminal."""
    if stream is None or not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), refresh_per_second=8, transient=True) as live:
        yield live


def panel(title: str, share: float | None, lines: Sequence[str], columns: int) -> Group:
    """One study on a terminal: its name with a bar, and what there is to say under it.

    The first of `lines` ends in the time left and is whole; the others are cut where the terminal ends.
    """
    from rich.console import Group
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 1))
    width = max(1, min(BAR, columns - len(title) - 6))
    bar = ProgressBar(total=1.0, completed=share or 0.0, width=width, pulse=share is None)
    head.add_row(
        Text(harmless(title), overflow="ellipsis", no_wrap=True), bar, "" if share is None else f"{share:.0%}"
    )
    said = (
        Text(harmless(line), overflow="ellipsis", no_wrap=number > 0)
        for number, line in enumerate(lines)
        if line
    )
    return Group(head, *(Padding(text, (0, 0, 0, 2)) for text in said))


def numbers(progress: Progress) -> dict[str, Any]:
    """The same for programs: rates in trials a second, times in seconds."""
    rate = progress.trials_trained / progress.seconds if progress.seconds else None
    told = progress._asdict() | {"best": [best._asdict() for best in progress.best]}
    return told | {"trials_per_second": rate}


def share_done(progress: Progress) -> float:
    """Of the time where it is known, else of the chunks."""
    if progress.chunks_done == progress.chunks:
        return 1.0
    if progress.left:
        return progress.seconds / (progress.seconds + progress.left)
    return progress.chunks_done / max(1, progress.chunks)


def describe(progress: Progress, columns: float = math.inf) -> str:
    """One line: chunks, trials by what became of them, rate, time left; less of it where columns are few."""
    if _trains_nothing(progress):
        if progress.trials_done == 1:
            return "the trial was finished before, it is not trained again"
        return f"all {progress.trials_done:,} trials were finished before, none is trained again"
    chunks, left = f"chunks {progress.chunks_done}/{progress.chunks}", _share(progress) + _left(progress)
    trials = f"trials {progress.trials_done:,}: {progress.reached:,} reached"
    diverged, alive = f"{progress.diverged:,} diverged", f"{progress.alive:,}"
    lines = (
        f"{chunks}, {trials}, {diverged}, {alive} in training, {_rate(progress)}{_waiting(progress)}{left}",
        f"{chunks}, {trials}, {diverged}, {alive} alive, {_waiting(progress)}{left}",
        f"{chunks}, {trials}, {left}",
        f"{chunks}, {left}",
        f"{chunks}, {_left(progress)}",
    )
    return next((line for line in lines if len(line) <= columns), chunks)


def describe_best(progress: Progress, columns: float = math.inf) -> str:
    """One line: what is best so far at each batch size, the largest first, as many as fit."""
    if _trains_nothing(progress):
        return ""
    parts = [_best(best, progress.metric) for best in reversed(progress.best)]
    kept = [parts[:count] for count in range(len(parts), 0, -1)]
    lines = ("best so far, at batch " + ", ".join(some) for some in kept)
    return next((line for line in lines if len(line) <= columns), "")


def _trains_nothing(progress: Progress) -> bool:
    return progress.chunks_done == progress.chunks and not progress.trials_trained


def _best(best: Best, metric: str) -> str:
    if math.isfinite(best.steps):
        return f"{best.batch_size}: {best.steps:,.0f} steps"
    return f"{best.batch_size}: {metric} {best.value:.3g}"


def _rate(progress: Progress) -> str:
    """Trials for each second, or for each minute or hour; nothing before the first one has ended."""
    if not progress.trials_trained or not progress.seconds:
        return ""
    rate = progress.trials_trained / progress.seconds
    unit, seconds = next(((unit, seconds) for unit, seconds in UNITS if rate * seconds >= 1), UNITS[-1])
    return f"{rate * seconds:.1f} trials/{unit}, "


def _waiting(progress: Progress) -> str:
    return "" if progress.waiting is None else f"waiting for data {progress.waiting:.0%}, "


def _left(progress: Progress) -> str:
    if progress.chunks_done == progress.chunks:
        return f"after {duration(progress.seconds)}"
    if progress.left is None:
        first = "" if progress.alive or progress.trials_trained else "compiles first, "
        return f"{first}time left unknown"
    return f"about {duration(progress.left)} left"


def _share(progress: Progress) -> str:
    if not progress.left or progress.chunks_done == progress.chunks:
        return ""
    return f"{share_done(progress):.0%} done, "


def duration(seconds: float) -> str:
    """A time in two units at most."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
