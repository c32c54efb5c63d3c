"""One hyperparameter's range, and its map to and from the unit interval.

A search works in the unit cube, where equal steps are equally interesting; a
dimension says what one axis of it means. Numbers are float64 arrays throughout,
so that a column of settings is ready for the lanes of a chunk: an integer is a
whole float, and a choice between texts is the index of the text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from optim.arguments import explain_arguments, shown

Array = np.ndarray
MOST = 1_000_000  # whole numbers of a range, as many as trials of a search


class Dimension(NamedTuple):
    """A range as pure functions; made by `linear`, `log`, `log1m`, `integer`, `choice`.

    Attributes:
      text: command-line form, the canonical one: `log(0.0001,1)`.
      from_unit: `[n] in [0, 1] -> [n]` values; 0 gives the first value of the range.
      to_unit: the inverse; a discrete value gives the middle of its cell.
      contains: `value -> bool`.
      cells: number of distinct values, None where they are a continuum.
      ordered: whether neighbours in the range are alike (False for `choice`).
      labels: texts that a choice stands for, empty otherwise.
      condition: `(name, value)` of another dimension, without which this one
        has no effect; None where it always counts.
    """

    text: str
    from_unit: Callable[[Float[Array, " n"]], Float[Array, " n"]]
    to_unit: Callable[[Float[Array, " n"]], Float[Array, " n"]]
    contains: Callable[[float], bool]
    cells: int | None = None
    ordered: bool = True
    labels: tuple[str, ...] = ()
    condition: tuple[str, float] | None = None

    def levels(self, num: int) -> Float[Array, " levels"]:
        """`num` evenly spaced points of the unit interval, ends included; every value of a choice."""
        if self.cells is None:
            return np.linspace(0.0, 1.0, num) if num > 1 else np.array([0.5])
        num = min(num, self.cells) if self.ordered else self.cells
        cell = np.round(np.linspace(0, self.cells - 1, num)) if num > 1 else np.array([self.cells // 2])
        return (cell + 0.5) / self.cells

    def label(self, value: float) -> str:
        """How a person reads `value`."""
        return self.labels[int(value)] if self.labels else f"{value:.6g}"


@explain_arguments
def linear(low: float, high: float) -> Dimension:
    """Uniform between `low` and `high`.

    >>> linear(-5, 10).from_unit(np.array([0.0, 0.5, 1.0])).tolist()
    [-5.0, 2.5, 10.0]
    """
    _check_bounds("linear", low, high)
    return _continuous("linear", low, high, lambda x: x, lambda t: t)


@explain_arguments
def log(low: float, high: float) -> Dimension:
    """Uniform in log(x); 0 < low < high. For rates and decays.

    >>> log(1e-4, 1).from_unit(np.array([0.5])).round(6).tolist()
    [0.01]
    """
    _check_bounds("log", low, high, above=0.0)
    return _continuous("log", low, high, np.log, np.exp)


@explain_arguments
def log1m(low: float, high: float) -> Dimension:
    """Uniform in log(1 - x); 0 <= low < high < 1. For momentum and averaging factors.

    >>> log1m(0.9, 0.999).from_unit(np.array([0.5])).round(6).tolist()
    [0.99]
    """
    _check_bounds("log1m", low, high)
    if low < 0 or high >= 1:
        raise ValueError(f"log1m: bounds must be in [0, 1), got {low:g} and {high:g}")
    return _continuous("log1m", low, high, lambda x: -np.log1p(-x), lambda t: -np.expm1(-t))


@explain_arguments
def integer(low: float, high: float) -> Dimension:
    """Whole numbers from `low` to `high`, both included.

    >>> integer(1, 8).from_unit(np.array([0.0, 0.49, 1.0])).tolist()
    [1.0, 4.0, 8.0]
    """
    _check_bounds("int", low, high)
    if low != int(low) or high != int(high):
        raise ValueError(f"int: bounds must be whole numbers, got {low:g} and {high:g}")
    if high - low >= MOST:
        raise ValueError(
            f"int: has at most {MOST:,} values, got {int(high) - int(low) + 1:,} from {low:g} to {high:g}; take linear"
        )
    values = np.arange(int(low), int(high) + 1, dtype=float)
    return _discrete(f"int({low:.0f},{high:.0f})", values)


@explain_arguments
def choice(*values: float | str) -> Dimension:
    """One of `values`, in no order: numbers stand for themselves, texts for their index.

    >>> choice("relu", "tanh").from_unit(np.array([0.2, 0.7])).tolist()
    [0.0, 1.0]
    """
    if len(values) < 2 or len(set(values)) != len(values):
        raise ValueError(f"choice: needs at least two distinct values, got [{', '.join(map(shown, values))}]")
    text = f"choice({','.join(_show(v) for v in values)})"
    if all(isinstance(v, int | float) for v in values):
        numbers = np.array(values, dtype=float)
        if not np.all(np.isfinite(numbers)):
            raise ValueError(f"choice: numbers must be finite, got {list(values)}")
        return _discrete(text, numbers, ordered=False)
    labels = tuple(_show(v) for v in values)
    return _discrete(text, np.arange(len(values), dtype=float), ordered=False, labels=labels)


def _show(value: float | str) -> str:
    """Shortest text that reads back as the same value: 1.0 is 1."""
    if isinstance(value, str):
        return value
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _check_bounds(kind: str, low: float, high: float, above: float = -math.inf) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{kind}: bounds must be finite, got {low:g} and {high:g}")
    if low <= above:
        raise ValueError(f"{kind}: lower bound must be > {above:g}, got {low:g}")
    if low >= high:
        raise ValueError(f"{kind}: lower bound must be below the upper one, got {low:g} and {high:g}")


def _continuous(kind: str, low: float, high: float, warp: Callable, unwarp: Callable) -> Dimension:
    first, last = warp(float(low)), warp(float(high))

    def from_unit(u):
        return np.clip(unwarp(first + np.asarray(u) * (last - first)), low, high)

    def to_unit(x):
        return np.clip((warp(np.asarray(x, dtype=float)) - first) / (last - first), 0.0, 1.0)

    text = f"{kind}({_show(low)},{_show(high)})"
    return Dimension(text, from_unit, to_unit, contains=lambda x: bool(low <= x <= high))


def _discrete(text: str, values: Float[Array, " cells"], **fields) -> Dimension:
    """Equal shares of the unit interval, one per value."""
    order = np.argsort(values)

    def from_unit(u):
        return values[np.minimum((np.asarray(u) * len(values)).astype(int), len(values) - 1)]

    def to_unit(x):
        return (order[np.searchsorted(values[order], x)] + 0.5) / len(values)

    return Dimension(text, from_unit, to_unit, lambda x: bool(np.any(values == x)), len(values), **fields)
