"""Values as people type them on the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

REPEATABLE = ("--set", "--space", "--option")  # options that may be given several times
UNITS = ("%", "step", "steps", "example", "examples", "epoch", "epochs")  # of lengths
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


def number(text: str) -> float:
    """Reads 30, 0.5 or 1e-3.

    >>> number("1e-3")
    0.001
    """
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"must be a number, got {text!r}") from None


def seeds(text: str) -> int | tuple[int, ...]:
    """How many seeds, or a list of them; "10," is a list of one.

    >>> seeds("4"), seeds("10,11,12"), seeds("10,")
    (4, (10, 11, 12), (10,))
    """
    try:
        if "," in text:
            return tuple(whole_number(part) for part in text.removesuffix(",").split(","))
        return whole_number(text)
    except UsageError as error:
        raise UsageError(f"--seeds: {error}") from None


def seconds(option: str, text: str) -> float:
    """Reads a time such as "30m".

    >>> seconds("--time-limit", "1h30m"), seconds("--time-limit", "1.5 s")
    (5400.0, 1.5)
    """
    found = re.fullmatch(r"\s*(?:([\d.]+)\s*h)?\s*(?:([\d.]+)\s*m(?:in)?)?\s*(?:([\d.]+)\s*s)?\s*", text)
    parts = found.groups() if found else ("0",) * 3
    try:
        total = sum(float(part or 0) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True))
    except ValueError:
        total = 0.0
    if not total > 0:
        raise UsageError(f"{option}: must look like 30m, 90s or 1h30m, got {text!r}")
    return total


def budget(text: str) -> int | str:
    """Steps as a number; a length with a unit stays as it is typed.

    >>> budget("1e4"), budget("10epochs")
    (10000, '10epochs')
    """
    if text.strip().endswith(UNITS):
        return text
    try:
        return whole_number(text)
    except UsageError as error:
        raise UsageError(f"--budget: {error}") from None


def settings(texts: Sequence[str]) -> dict[str, tuple[float | str, ...]]:
    """Reads further hyperparameters, each "NAME=VALUES"; lengths with a unit stay as they are typed.

    >>> settings(["momentum=0.5,0.9", "warmup=5%,10%"])
    {'momentum': (0.5, 0.9), 'warmup': ('5%', '10%')}
    """
    space: dict[str, tuple[float | str, ...]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--set: must look like momentum=0.9 or b2=0.9,0.99, got {text!r}")
        if name in space:
            raise UsageError(f"--set: {name} is given twice; list its values as in {name}=0.1,0.2")
        parts = [part.strip() for part in listed.split(",")]
        lengths = any(part.endswith(UNITS) for part in parts)
        space[name] = tuple(parts) if lengths else values(f"--set {name}", listed)
    return space


RANGE = re.compile(r"\s*(\w+)\s*=\s*\w+\s*\((.*?)\)")


def without_units(texts: Sequence[str], num_examples: int) -> tuple[list[str], dict[str, str]]:
    """Ranges of lengths as numbers, and the unit of each that had one.

    >>> without_units(["decay_steps=linear(10%,100%)", "learning_rate=log(0.1,1)"], 1000)
    (['decay_steps=linear(0.1,1.0)', 'learning_rate=log(0.1,1)'], {'decay_steps': 'budget'})
    """
    from lr_batch import parse_length

    plain, units = [], {}
    for text in texts:
        found = RANGE.match(text)
        listed = [part.strip() for part in found[2].split(",")] if found else []
        if not found or not any(part.endswith(UNITS) for part in listed):
            plain.append(text)
            continue
        lengths = [parse_length(f"--space: {found[1]}", part, num_examples) for part in listed]
        kinds = {length.unit for length in lengths if length.value}
        if len(kinds) > 1:
            raise UsageError(
                f"--space: the values of {found[1]} must have one unit, got {' and '.join(sorted(kinds))}"
            )
        units[found[1]] = kinds.pop() if kinds else lengths[0].unit
        numbers = ",".join(repr(length.value) for length in lengths)
        plain.append(f"{text[: found.start(2)]}{numbers}{text[found.end(2) :]}")
    return plain, units


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
