"""What can become of a fault, and how it is counted."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Callable, Iterator
from typing import NamedTuple

# As it should be: nothing was lost, what was lost ran again, what was asked was done, or one line said what is wrong.
WHOLE, AGAIN, DONE, REFUSED = "nothing lost", "ran again", "done as asked", "refused in one line"
# Faults of ours.
WRONG, TRACEBACK, HANG, LEFT = "silently wrong", "traceback", "hang", "left behind"
UNCLEAR = "unclear words"
FAULTS = (WRONG, TRACEBACK, HANG, LEFT, UNCLEAR)
PATIENCE = 300  # seconds until what has not ended is a hang


class Outcome(NamedTuple):
    kind: str
    said: str = ""


class Wrong(Exception):
    """Numbers are not what they were, and nothing says so."""


class LeftBehind(Exception):
    """A file of ours that nobody will remove."""


def judged(job: Callable[[], str]) -> Outcome:
    """The outcome of a job, which returns `WHOLE` or `AGAIN` or raises."""
    from runs.store import StoreError
    from runs.workers.errors import WorkersError

    try:
        return Outcome(job())
    except Wrong as error:
        return Outcome(WRONG, str(error))
    except LeftBehind as error:
        return Outcome(LEFT, str(error))
    except TimeoutError as error:
        return Outcome(HANG, str(error))
    except (StoreError, WorkersError) as error:
        said = str(error)
        return Outcome(TRACEBACK, f"several lines: {said}") if "\n" in said else Outcome(REFUSED, said)
    except Exception:
        return Outcome(TRACEBACK, traceback.format_exc())


@contextlib.contextmanager
def patience(seconds: int = PATIENCE) -> Iterator[None]:
    """Raises TimeoutError in what takes longer; in the main thread alone."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"no end within {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
