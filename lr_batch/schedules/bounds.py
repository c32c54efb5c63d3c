"""What the arguments of a schedule may be, refused by name at construction."""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optax
from jax.core import Tracer

from optim.arguments import explain_arguments
from optim.hyperparameters import with_checked_arguments
from optim.range import INT32_MAX, NON_NEGATIVE, POSITIVE, Range, Scalar, Valid

FRACTION = Range(low=0.0, high=1.0, low_open=True)


class Steps(NamedTuple):
    """A count of steps or cycles: whole numbers from `low` to `high`; `endless` ones may be infinite.

    >>> Steps(1).check("cosine", "num_steps", 2.5)
    Traceback (most recent call last):
    ValueError: cosine: num_steps must be a whole number >= 1, got 2.5
    """

    low: int
    high: float = math.inf
    endless: bool = False

    def check(self, owner: str, name: str, value: Any) -> Any:
        """`value`, if it is such a count or traced; else ValueError."""
        if is_traced(value) or (self.endless and _is_real(value) and value == math.inf):
            return value
        if not _is_real(value) or not float(value).is_integer() or not self.low <= value <= self.high:
            found = " ".join(repr(value).split())  # arrays write several lines
            valid = f">= {self.low}" if math.isinf(self.high) else f"in [{self.low}, {self.high:g}]"
            raise ValueError(f"{owner}: {name} must be a whole number {valid}, got {found}")
        return float(value) if value > INT32_MAX else value


COMMON = dict(peak_value=POSITIVE, num_steps=Steps(1), warmup_steps=Steps(0), init_value=NON_NEGATIVE)


def schedule_factory(
    **valid: Valid,
) -> Callable[[Callable[..., optax.Schedule]], Callable[..., optax.Schedule]]:
    """Decorates the factory of a schedule: the named arguments are checked whenever it is called, and those of all
    schedules; the warm-up ends before the schedule does.

    >>> @schedule_factory()
    ... def constant(peak_value, num_steps, warmup_steps=0, init_value=0.0): return lambda step: peak_value
    >>> constant(0.1, 100, warmup_steps=100)
    Traceback (most recent call last):
    ValueError: constant: warmup_steps must be less than num_steps, got 100 of 100 steps
    """

    def decorate(factory: Callable[..., optax.Schedule]) -> Callable[..., optax.Schedule]:
        signature = inspect.signature(factory)

        @functools.wraps(factory)
        def warmed_up(*args: Any, **kwargs: Any) -> optax.Schedule:
            given = signature.bind(*args, **kwargs).arguments
            _check_warmup(factory.__name__, given["num_steps"], given["warmup_steps"])
            return factory(*args, **kwargs)

        check = lambda kind, owner, name, value: kind.check(owner, name, value)
        return explain_arguments(with_checked_arguments(warmed_up, COMMON | valid, check))

    return decorate


def _check_warmup(owner: str, num_steps: Scalar, warmup_steps: Scalar | None) -> None:
    known = warmup_steps is not None and not is_traced(num_steps) and not is_traced(warmup_steps)
    if known and warmup_steps >= num_steps:
        raise ValueError(
            f"{owner}: warmup_steps must be less than num_steps, got {warmup_steps} of {num_steps} steps"
        )


def is_traced(value: Scalar) -> bool:
    """Whether the value of an argument is not known until the program runs."""
    return isinstance(value, Tracer)


def _is_real(value: Scalar) -> bool:
    """Whether `value` is one real number, and not text, a truth value, or an array of several."""
    if isinstance(value, (str, bytes, bool)) or np.ndim(value):
        return False
    if isinstance(value, int):
        return abs(value) < sys.float_info.max
    return np.issubdtype(np.asarray(value).dtype, np.number) and np.isrealobj(value)
