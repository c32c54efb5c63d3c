"""What a user's own code raised, in one line."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optim.arguments import explain_arguments

OURS = Path(__file__).parents[1]
PACKAGES = {"lr_batch", "optim", "reg", "hparam", "runs"}
LIBRARIES = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}


@explain_arguments
def first_line(error: BaseException) -> str:
    """Type and first line of an error whose full text is for someone else, and where in the user's code it arose."""
    said = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    place = _user_line(error)
    return f"{said} ({place})" if place else said


def _user_line(error: BaseException) -> str | None:
    """ "FILE.py, line N" of the innermost code that is neither a library's nor ours; None where there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else None


def _is_users(file: str) -> bool:
    path = Path(file)
    if file.startswith("<") or "site-packages" in path.parts or any(file.startswith(p) for p in LIBRARIES):
        return False
    return not (path.is_relative_to(OURS) and path.relative_to(OURS).parts[0] in PACKAGES)


def calling(what: str, function: Callable, *args: Any) -> Any:
    """What a function that was handed over returns.

    Raises:
      ValueError: where it raises anything: `what` it was called as, and its error in one line.
    """
    try:
        return function(*args)
    except Exception as error:
        raise ValueError(f"{what} failed: {first_line(error)}") from error
