"""What can become of a fault, and how it is counted."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import NamedTuple

# As it should be: nothing was lost, what was lost ran again, or one line said what is wrong.
WHOLE, AGAIN, REFUSED = "nothing lost", "ran again", "refused in one line"
# Faults of ours.
WRONG, TRACEBACK, HANG, LEFT = "silently wrong", "traceback", "hang", "left behind"
FAULTS = (WRONG, TRACEBACK, HANG, LEFT)


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
