"""What a drawn line or call ended with, and whether that may be."""

from __future__ import annotations

import contextlib
import linecache
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from matplotlib.figure import Figure

from lr_batch import StudyError
from tests.fuzz.lines import Line
from tests.fuzz.quiet import quiet
from tests.fuzz.world import World, damage

ROOT = Path(__file__).parents[2]
# Seconds of the processor; tiny studies take some. A busy machine takes its own time for these, so that what waits for
# ever is seen by another clock.
LIMIT, WAITING = 240, 1_800
TOO_LONG = f"no end within {LIMIT} s of the processor, or {WAITING} s"
# Python's own words say nothing to who typed a command; where a user's own file raised them, it is named beside them.
PYTHON = re.compile(
    r"object has no attribute|not subscriptable|NoneType|unexpected keyword|positional argument|unhashable|index out of"
    r"|Errno|could not convert|not supported between|object is not|Traceback|KeyError"
)
REPRS = re.compile("<class '|<function|object at 0x")  # of what was handed over, which a call may show
USERS = re.compile(r"(my|syntax|raises|exits)\.py|\(\) failed: |cannot be (built|compiled): ")
TRAINS = ("curve", "compare", "regularize", "tune", "transfer", "noise-scale")


class Outcome(NamedTuple):
    """How it ended, what it said, and what is wrong with that; None if nothing is."""

    kind: str
    said: str
    fault: str | None = None


class TooLong(BaseException):
    """The alarm rang."""


@contextlib.contextmanager
def within(seconds: int, waiting: int = WAITING) -> Iterator[None]:
    """Raises TooLong where what is called inside takes longer, of the processor or by the clock; a call into JAX is
    waited for."""

    def ring(number, frame):
        raise TooLong

    clocks = {signal.SIGALRM: (signal.ITIMER_REAL, waiting), signal.SIGPROF: (signal.ITIMER_PROF, seconds)}
    before = {number: signal.signal(number, ring) for number in clocks}
    for clock, limit in clocks.values():
        signal.setitimer(clock, limit)
    try:
        yield
    finally:
        for clock, _ in clocks.values():
            signal.setitimer(clock, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undrawn(drawn: bool) -> Iterator[None]:
    """Figures are built, but not drawn: most of the time of a tiny study."""
    save = Figure.savefig
    if not drawn:
        Figure.savefig = lambda self, place, **options: (
            place.write(b"figure") if hasattr(place, "write") else Path(place).write_bytes(b"figure")
        )
    try:
        yield
    finally:
        Figure.savefig = save


def of_line(world: World, line: Line, draw: Any) -> Outcome:
    """Runs a command line in this process."""
    from runs.__main__ import main

    world.restore()
    how = damage(draw, world.here / line.damaged) if line.damaged else ""
    before, since = world.files(), time.process_time()
    try:
        with quiet() as (out, err), undrawn(draw.random() < 0.05), within(LIMIT):
            code = main(line.words)
    except TooLong:
        return Outcome("too long", how, TOO_LONG)
    except BaseException as error:
        return Outcome("traceback", how, _last_lines(error))
    finally:
        jax.config.update("jax_default_device", None)  # --device
    said, words = out.getvalue(), err.getvalue()
    if time.process_time() - since > LIMIT:
        return Outcome("too long", words, TOO_LONG)
    return Outcome(f"exit {code}", words or said, _fault(line, code, said, words, world.files() != before))


def _fault(line: Line, code: int, out: str, err: str, written: bool) -> str | None:
    said = [text for text in err.splitlines() if text.startswith("lr-batch: ")]
    if code not in (0, 1, 2):
        return f"exit code {code}"
    if code == 0:
        asked = {"--help", "-h", "--version", "--dry-run"} & {*line.words} or not line.words
        nothing = not out.strip() or (
            line.words[:1] and line.words[0] in TRAINS and not asked and not written
        )
        return "exit 0, and nothing was done" if nothing else None
    if not said:
        return f"exit {code} without a word"
    if code == 2 and len(err.splitlines()) > 1 and not err.splitlines()[-1].startswith("lr-batch: "):
        return "the line that says what is wrong is not the last one"
    if (PYTHON.search(said[-1]) or REPRS.search(said[-1])) and not USERS.search(said[-1]):
        return "Python's own words"
    if len(said[-1]) > 1000:
        return "a line of more than 1,000 characters"
    return None


def of_call(call: Callable[[], Any]) -> Outcome:
    """Calls a function of the public API."""
    try:
        with quiet(), within(LIMIT):
            call()
    except TooLong:
        return Outcome("too long", "", TOO_LONG)
    except (ValueError, TypeError, KeyError, StudyError) as error:
        said = str(error)
        if isinstance(error, TypeError) and "unexpected keyword argument" in said:
            return Outcome("refused", said)  # by Python, which names the function and the argument
        if not _on_purpose(error):
            return Outcome("traceback", said, _last_lines(error))
        fault = "several lines" if "\n" in said.strip() else "without a word" if not said else None
        if PYTHON.search(said.replace("NoneType", "")) and "failed" not in said and "cannot be" not in said:
            fault = "Python's own words"
        return Outcome("refused", said, fault)
    except BaseException as error:
        return Outcome("traceback", str(error), _last_lines(error))
    return Outcome("returned", "")


def _on_purpose(error: BaseException) -> bool:
    """Whether a line of this project raised it, and does so on purpose."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if not frame.filename.startswith(str(ROOT)) or frame.lineno is None:
        return False
    lines = [
        linecache.getline(frame.filename, number)
        for number in range(frame.lineno, (frame.end_lineno or frame.lineno) + 1)
    ]
    users = Path(frame.filename).name in ("arguments.py", "calls.py") and "/fuzz/" in frame.filename
    return users or lines[0].lstrip().startswith("raise ")


def _last_lines(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        frame for frame in frames if frame.filename.startswith(str(ROOT)) and "/tests/" not in frame.filename
    ]
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in (ours or frames)[-4:]]
    return f"{type(error).__name__}: {str(error)[:300]!r} at {' < '.join(reversed(places))}"
