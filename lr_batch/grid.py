"""Grids of hyperparameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from optim.arguments import explain_arguments


@explain_arguments
def log_grid(low: float, high: float, num: int) -> tuple[float, ...]:
    """`num` values from `low` to `high`, evenly spaced in the logarithm.

    Args:
      low, high: ends of the grid, finite, 0 < low < high.
      num: number of values, at least 2.

    Raises:
      ValueError: where these ranges are left.

    >>> log_grid(0.01, 1.0, 3)
    (0.01, 0.1, 1.0)
    """
    if not (math.isfinite(low) and math.isfinite(high) and 0 < low < high):
        raise ValueError(f"log_grid: bounds must be finite with 0 < low < high, got low={low}, high={high}")
    if num != int(num) or num < 2:
        raise ValueError(f"log_grid: num must be a whole number >= 2, got {num}")
    ratio = math.log(high / low) / (num - 1)
    inner = (float(f"{low * math.exp(ratio * i):.6g}") for i in range(1, int(num) - 1))
    return (float(low), *inner, float(high))


def product(space: Mapping[str, Sequence[float]]) -> tuple[dict[str, float], ...]:
    """Every setting of a grid, the last name varying fastest.

    >>> product({"learning_rate": (0.1, 1.0), "momentum": (0.9,)})
    ({'learning_rate': 0.1, 'momentum': 0.9}, {'learning_rate': 1.0, 'momentum': 0.9})
    """
    return tuple(dict(zip(space, values, strict=True)) for values in itertools.product(*space.values()))


def in_float32(what: str, values: Collection[float]) -> list[float]:
    """Values as lanes hold them.

    Args:
      what: begins the message.
      values: finite numbers.

    Raises:
      ValueError: where some vanish, overflow or become equal.

    >>> in_float32("study: learning_rate", (0.1, 0.1000000001))
    Traceback (most recent call last):
    ValueError: study: learning_rate 0.1 and 0.1000000001 are the same number in float32; leave one out
    """
    smallest, largest = map(float, (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
    first: dict[float, float] = {}
    for value in values:
        if value and not smallest <= abs(value) <= largest:
            becomes = "0" if abs(value) < 1 else "infinite"
            raise ValueError(
                f"{what} {value!r} becomes {becomes} in float32: take numbers of {smallest:.2g} to {largest:.2g}"
            )
        if (other := first.setdefault(float(np.float32(value)), value)) != value:
            raise ValueError(f"{what} {other!r} and {value!r} are the same number in float32; leave one out")
    return [float(np.float32(value)) for value in values]
