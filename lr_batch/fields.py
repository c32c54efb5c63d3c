"""Reads and checks the fields of a study."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

import optim
from lr_batch.grid import in_float32
from optim.arguments import shown

# A million trials of the smallest network is a day on two cores. More is a slip of the keyboard.
MAX_TRIALS = 1_000_000
MAX_SEED = 2**31 - 1  # seeds are counted in 32 bits


def check_settings(
    owner: str, ranges: Mapping[str, optim.Range], space: Mapping[str, Collection[float]]
) -> None:
    """Refuses values that the ranges of `owner` do not allow."""
    for field, values in space.items():
        valid = ranges.get(field, optim.Range())
        for value in values:
            valid.check(owner, field, value)
        for value, cast in zip(values, in_float32(f"{owner}: {field}", values), strict=True):
            if not valid.contains(cast):
                raise ValueError(f"{owner}: {field} {value!r} is {cast:g} in float32, and must be in {valid}")


def whole(field: str, value: Any, low: int, high: float = math.inf) -> int:
    """A whole number in a range."""
    is_number = isinstance(value, int | float | np.integer) and not isinstance(value, bool)
    if not is_number or value != value // 1 or not low <= value <= high:
        allowed = f"from {low} to {high:,}" if math.isfinite(high) else f">= {low}"
        raise ValueError(f"study: {field} must be a whole number {allowed}, got {shown(value)}")
    return int(value)


def read_batch_sizes(values: Any, examples: int) -> tuple[tuple[int, ...], int]:
    """Sorted distinct batch sizes, and how many were repeated."""
    given = [whole("batch_sizes", value, low=1) for value in listed_values("batch_sizes", values)]
    if max(given) > examples:
        raise ValueError(
            f"study: batch size {max(given)} is larger than the training data ({examples:,} examples)"
        )
    sizes = tuple(sorted(set(given)))
    return sizes, len(given) - len(sizes)


def read_seeds(value: Any) -> int | tuple[int, ...]:
    """How many seeds, or which ones; a list that begins at 0 and leaves none out is their number.

    >>> read_seeds(4), read_seeds([2, 0, 1]), read_seeds((11, 10))
    (4, 3, (10, 11))
    """
    if isinstance(value, str) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0:
        return whole("seeds", value, low=1)
    given = [whole("seeds of a list", seed, low=0, high=MAX_SEED) for seed in listed_values("seeds", value)]
    if len(set(given)) < len(given):
        raise ValueError(f"study: seeds must differ, got {given}")
    return len(given) if sorted(given) == list(range(len(given))) else tuple(sorted(given))


def read_space(space: Mapping[str, Any]) -> tuple[dict[str, tuple[float, ...]], int]:
    """Sorted distinct values of each axis, and how many were repeated."""
    if not isinstance(space, Mapping):
        raise ValueError(
            f"study: space must map names to values, such as {{'learning_rate': (0.1, 0.3)}}, got {space!r}"
        )
    if "learning_rate" not in space:
        raise ValueError(f"study: space must hold learning_rate, got {', '.join(space) or 'nothing'}")
    listed = {name: listed_values(name, values) for name, values in space.items()}
    given = {name: [number(name, value) for value in values] for name, values in listed.items()}
    axes = {name: tuple(sorted(set(values))) for name, values in given.items()}
    return axes, sum(len(values) - len(axes[name]) for name, values in given.items())


def listed_values(field: str, values: Any) -> list:
    """The values of a field that takes several, one or more."""
    if isinstance(values, str) or not hasattr(values, "__iter__") or getattr(values, "ndim", 1) == 0:
        raise ValueError(f"study: {field} must be a list of numbers, got {values!r}")
    if hasattr(values, "__len__") and len(values) > MAX_TRIALS:  # reading them alone takes a minute
        raise ValueError(
            f"study: {field} has {len(values):,} values, of which a study trains at most {MAX_TRIALS:,}: "
            f"at 100 trials a second they take {len(values) / 360_000:,.0f} hours"
        )
    listed = list(values)
    if not listed:
        raise ValueError(f"study: {field} is empty; give at least one number")
    return listed


def number(name: str, value: Any) -> float:
    """A finite number."""
    try:
        read = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"study: {name} must be numbers, got {shown(value)}") from None
    if not math.isfinite(read):
        raise ValueError(f"study: {name} must be finite, got {shown(value)}")
    return read


def read_follow(value: Any, searched: bool) -> bool:
    """Whether the best rate is followed, which a search does in its own way."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"study: follow must be True or False, got {value!r}")
    if value and searched:
        raise ValueError(
            "study: follow is for grids of learning rates; a search proposes its settings itself"
        )
    return bool(value)


def read_slack(value: Any) -> Any:
    """Of the race."""
    if not isinstance(value, int | float | np.number) or not value >= 1:
        raise ValueError(f"study: slack must be >= 1 (infinite: no racing), got {value!r}")
    return value


def notes_on(batch_sizes: int, values: int, *, remat: bool) -> tuple[str, ...]:
    """What is said of batch sizes and of values of the space that were given again, and of losses that keep little."""
    repeated = {"batch sizes": batch_sizes, "values of the space": values}
    left_out = [f"repeated {what} left out: {count}" for what, count in repeated.items() if count]
    again = ["gradients compute activations again instead of keeping them, which saves memory"] * remat
    return (*left_out, *again)


def check_num_trials(trials: int, batch_sizes: int, settings: int, fewer: str) -> None:
    """Raises ValueError where a study has more than anyone waits for; `fewer` is the way out."""
    if trials > MAX_TRIALS:
        raise ValueError(
            f"study: {trials:,} trials ({batch_sizes} batch sizes x {settings:,} settings, for each seed) are more than "
            f"{MAX_TRIALS:,}; at 100 trials a second that is {trials / 360_000:,.0f} hours: take {fewer} or fewer batch "
            "sizes"
        )
