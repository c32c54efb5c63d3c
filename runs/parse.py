"""Values as people type them on the command line."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

REPEATABLE = ("--set", "--space", "--option")  # options that may be given several times
MAX_VALUES = 100_000  # of one axis of a grid; more is a slip of the keyboard


class UsageError(ValueError):
    """What was typed is not allowed; the message is one line for the terminal."""


def batch_sizes(text: str, option: str = "--batch-sizes") -> tuple[int, ...]:
    """Reads "1,2,8" or "LOW:HIGH:xFACTOR".

    >>> batch_sizes("1:1024:x4")
    (1, 4, 16, 64, 256, 1024)
    """
    form = f"{option}: must look like 1,2,8 or LOW:HIGH:xFACTOR such as 1:1024:x2, got {text!r}"
    if ":" not in text:
        return tuple(_number(part, int, form) for part in _parts(text, ",", form))
    first, last, times = _parts(text, ":", form, count=3)
    if not times.startswith("x"):  # 1:9:2 could as well mean steps of 2
        raise UsageError(form)
    low, high, factor = (_number(part, int, form) for part in (first, last, times[1:]))
    if low < 1 or high < low or factor < 2:
        raise UsageError(f"{option}: needs 1 <= LOW <= HIGH and FACTOR >= 2, got {text!r}")
    sizes = [low]
    while sizes[-1] * factor <= high:
        sizes.append(sizes[-1] * factor)
    return tuple(sizes)


def values(option: str, text: str) -> tuple[float, ...]:
    """Reads "0.1,0.3" or "LOW:HIGH:NUM", evenly spaced in the logarithm.

    >>> values("--learning-rates", "0.01:1:3")
    (0.01, 0.1, 1.0)
    """
    from lr_batch import log_grid

    form = f"{option}: must look like 0.1,0.3 or LOW:HIGH:NUM such as 1e-3:4:16, got {text!r}"
    if ":" not in text:
        return tuple(_number(part, float, form) for part in _parts(text, ",", form))
    ends = _parts(text, ":", form, count=3)
    low, high, num = (_number(part, kind, form) for part, kind in zip(ends, (float, float, int), strict=True))
    if num > MAX_VALUES:
        raise UsageError(f"{option}: {num:,} values are more than {MAX_VALUES:,}; take a coarser grid")
    try:
        return log_grid(low, high, num)
    except ValueError as error:
        raise UsageError(f"{option}: {str(error).removeprefix('log_grid: ')}") from None


def whole_number(text: str) -> int:
    """Reads 10000, 10_000 or 1e4.

    >>> whole_number("1e4")
    10000
    """
    try:
        number = float(text)
        if number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"must be a whole number, got {text!r}")


def settings(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Reads further hyperparameters, each "NAME=VALUES".

    >>> settings(["momentum=0.5,0.9"])
    {'momentum': (0.5, 0.9)}
    """
    space = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--set: must look like momentum=0.9 or b2=0.9,0.99, got {text!r}")
        if name in space:
            raise UsageError(f"--set: {name} is given twice; list its values as in {name}=0.1,0.2")
        space[name] = values(f"--set {name}", listed)
    return space


def named_or_loaded(what: str, text: str) -> Any:
    """A name of the registry as it is, or the object that "FILE.py:NAME" names.

    Raises:
      UsageError: if the file or the name is not there, or running the file fails.
    """
    if ".py" not in text:
        return text
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not file.endswith(".py") or not name:
        raise UsageError(f"{what}: must be a registered name or look like FILE.py:NAME, got {text!r}")
    if not path.is_file():
        raise UsageError(f"{what}: there is no file {file!r}")
    module = _run_file(what, path)
    if not hasattr(module, name):
        own = [known for known in vars(module) if not known.startswith("_")]
        raise UsageError(f"{what}: {file!r} has no {name!r}{_nearest(name, own)}")
    return getattr(module, name)


def _run_file(what: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.absolute()))  # its own imports, as for a script
    try:
        with _one_line_for(f"{what}: running {str(path)!r}"):
            spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


@contextlib.contextmanager
def _one_line_for(what: str) -> Iterator[None]:
    """The user's own code may raise whatever it likes, and leave the process too."""
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        first = str(error).strip().partition("\n")[0]
        raise UsageError(f"{what} failed: {type(error).__name__}: {first}") from error


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _parts(text: str, separator: str, form: str, count: int | None = None) -> list[str]:
    parts = [part.strip() for part in text.split(separator)]
    if not all(parts) or (count and len(parts) != count):
        raise UsageError(form)
    return parts


def _number(text: str, kind: type, form: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(form) from None
