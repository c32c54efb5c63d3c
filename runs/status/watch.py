"""A run as it is seen from another terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from runs.progress import duration, live_on, panel
from runs.status.news import DONE, ELSEWHERE, INTERRUPTED, KILLED, RUNNING
from runs.status.status import WORDS, Status, status
from runs.text import Printer, harmless

POLL = 1.0  # seconds; as often as a run says something
ENDED = {"budget": "trained to their end or outpaced"}  # the store does not tell them apart
PLAIN_SECONDS = 5.0  # between two looks without a terminal


def told(found: Status) -> Iterator[str]:
    """The lines of a status: what runs, each study's progress, what is stored, and how to go on."""
    kind = f" (lr-batch {found.kind})" if found.kind else ""
    yield f"{found.folder}{kind}: {WORDS[found.state]}{_since(found)}"
    for one in (found, *found.parts):
        yield from studies_lines(one, heading=one is not found or bool(one.news and one.news.lines))
    if found.trials:
        counts = ", ".join(f"{count:,} {ENDED.get(name, name)}" for name, count in found.trials.items())
        yield f"stored: {sum(found.trials.values()):,} trials in {found.chunks:,} chunks ({counts})"
    elif found.chunks:
        yield f"stored: {found.chunks:,} chunks"
    if found.state in (INTERRUPTED, KILLED) and found.command:
        yield f"the same command goes on: {found.command}"


def studies_lines(one: Status, *, heading: bool) -> Iterator[str]:
    """Of one study: its name and how far it is."""
    if heading:
        title = one.news.title if one.news else one.folder.name
        yield f"{title}{'' if one.state == RUNNING else f': {_word(one)}'}"
    for line in one.news.lines if one.news else ():
        yield f"  {line}"


def _word(one: Status) -> str:
    if one.news is None:
        return "stored" if one.chunks else "not begun"
    return WORDS[one.state].partition(";")[0]


def _since(found: Status) -> str:
    if found.news is None or found.state == DONE:
        return ""
    since = f", pid {found.news.owner.pid} since {found.news.owner.since}"
    if found.state == RUNNING:
        return since
    return f"{since}, last heard of {duration(max(0.0, time.time() - found.news.at))} ago"


def watch(folder: Path, stream: IO[str] | None = None, sleep: Callable[[float], None] = time.sleep) -> Status:
    """Shows how far a run is until it ends, and returns its last status.

    Raises:
      StoreError: there is nothing of lr-batch in the folder.
    """
    out = sys.stdout if stream is None else stream
    found, said = status(folder), ""
    with ended_by_interrupt(), live_on(out) as live:
        while found.state in (RUNNING, ELSEWHERE):
            if live:
                live.update(_panels(found, live.console.width - 2))
            elif (text := "\n".join(map(harmless, told(found)))) != said:
                said = text
                print(text, file=out, flush=True)
            sleep(POLL if live else PLAIN_SECONDS)
            found = found.again() if found.kind else status(folder)
    found = status(folder)
    say = Printer(out)
    for line in told(found):
        say(line)
    return found


def _panels(found: Status, columns: int):
    """All studies that have said something, each with its bar; before that where they will be."""
    from rich.console import Group

    studies = [one for one in (found, *found.parts) if one.news and (one.news.lines or one.news.share)]
    if not studies:
        return panel(f"{found.folder}: nothing said yet", None, (), columns)
    shown = [(one.news.title, one.news.share, one.news.lines) for one in studies if one.news]
    return Group(*(panel(title, share, lines, columns) for title, share, lines in shown))


@contextmanager
def ended_by_interrupt() -> Generator[None, None, None]:
    """Ctrl-C ends the watching alone, without a word of chunks in flight, which are another process's."""
    before = None
    try:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # not the main thread, which alone is given signals
        pass
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
