"""Values as people type them on the command line."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class UsageError(ValueError):
    """What was typed is not allowed; the message is one line for the terminal."""


def batch_sizes(text: str) -> tuple[int, ...]:
    """Reads "1,2,8" or "LOW:HIGH:xFACTOR".

    >>> batch_sizes("1:1024:x4")
    (1, 4, 16, 64, 256, 1024)
    """
    form = f"--batch-sizes: must look like 1,2,8 or LOW:HIGH:xFACTOR such as 1:1024:x2, got {text!r}"
    if ":" not in text:
        return tuple(_number(part, int, form) for part in _parts(text, ",", form))
    low, high, factor = (_number(part.lstrip("x"), int, form) for part in _parts(text, ":", form, count=3))
    if low < 1 or high < low or factor < 2:
        raise UsageError(f"--batch-sizes: needs 1 <= LOW <= HIGH and FACTOR >= 2, got {text!r}")
    sizes = [low]
    while sizes[-1] * factor <= high:
        sizes.append(sizes[-1] * factor)
    return tuple(sizes)


def values(option: str, text: str) -> tuple[float, ...]:
    """Reads "0.1,0.3" or "LOW:HIGH:NUM", evenly spaced in the logarithm.

    >>> values("--learning-rates", "0.01:1:3")
    (0.01, 0.1, 1.0)
    """
    from lr_batch.grid import log_grid

    form = f"{option}: must look like 0.1,0.3 or LOW:HIGH:NUM such as 1e-3:4:16, got {text!r}"
    if ":" not in text:
        return tuple(_number(part, float, form) for part in _parts(text, ",", form))
    low, high, num = _parts(text, ":", form, count=3)
    try:
        return log_grid(_number(low, float, form), _number(high, float, form), _number(num, int, form))
    except ValueError as error:
        raise UsageError(f"{option}: {str(error).removeprefix('log_grid: ')}") from None


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
            raise UsageError(f"--set: {name} is given twice")
        space[name] = values(f"--set {name}", listed)
    return space


def named_or_loaded(what: str, text: str) -> Any:
    """A registered name as it is, or the object that "FILE.py:NAME" names.

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
        raise UsageError(f"{what}: {file!r} has no {name!r}")
    return getattr(module, name)


def _run_file(what: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.absolute()))  # its own imports, as for a script
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{what}: running {str(path)!r} failed: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return module


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
