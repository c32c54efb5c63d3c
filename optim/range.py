"""Valid ranges of hyperparameters, checked when an optimizer is built."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Collection
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import optax

from optim.keep_dtypes import keep_dtypes
from optim.names import unknown

Scalar = float | jax.Array
ScalarOrSchedule = Scalar | optax.Schedule


class Range(NamedTuple):
    """An interval of finite numbers, and the value taken where none is given.

    >>> Range(0.999, 0.0, 1.0, high_open=True).check("adam", "b2", 1.5)
    Traceback (most recent call last):
    ValueError: adam: b2 must be in [0, 1), got 1.5
    """

    default: float | None = None
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __str__(self) -> str:
        left = "(" if self.low_open or math.isinf(self.low) else "["
        right = ")" if self.high_open or math.isinf(self.high) else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"

    def contains(self, value: float) -> bool:
        """Whether a number lies in the interval; infinities and NaN never do."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return math.isfinite(value) and above and below

    def check(self, owner: str, name: str, value: Any) -> None:
        """Raises ValueError unless `value` is a scalar of the interval.

        Traced values and schedules pass: what they will be is not known yet.
        """
        if isinstance(value, jax.core.Tracer) or callable(value):
            return
        number = not isinstance(value, (str, bytes)) and getattr(value, "ndim", 0) == 0
        try:
            valid = number and self.contains(float(value))
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise ValueError(f"{owner}: {name} must be in {self}, got {value!r}")


POSITIVE = Range(low=0.0, low_open=True)
NON_NEGATIVE = Range(low=0.0)
DECAY = Range(low=0.0, high=1.0, high_open=True)  # of an exponential moving average


def check_choice(owner: str, name: str, value: Any, known: Collection[str]) -> None:
    """Raises ValueError unless `value` is one of `known`."""
    if value not in known:
        raise ValueError(f"{owner}: {unknown(name, value, known)}")


def check_count(owner: str, name: str, value: Any) -> None:
    """Raises ValueError unless `value` is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{owner}: {name} must be an integer >= 1, got {value!r}")


def hyperparameters(**ranges: Range) -> Callable[[Callable], Callable]:
    """Decorates the factory of a transformation: the named arguments are hyperparameters.

    They are checked against their ranges when the factory is called, may be traced
    arrays that differ between lanes, and are listed with their defaults in the
    attribute `hyperparameters` of the factory. A default of None means "left out".
    """

    def decorate(factory: Callable) -> Callable:
        signature = inspect.signature(factory)

        required = {n: p.default is inspect.Parameter.empty for n, p in signature.parameters.items()}
        defaults = {n: None if required[n] else signature.parameters[n].default for n in ranges}

        @functools.wraps(factory)
        def checked(*args, **kwargs):
            for name, value in signature.bind(*args, **kwargs).arguments.items():
                left_out = value is None and not required[name] and defaults.get(name) is None
                if name in ranges and not left_out:
                    ranges[name].check(factory.__name__, name, value)
            # A traced rate is a strongly typed float32, which would promote bfloat16 state.
            return keep_dtypes(factory(*args, **kwargs))

        checked.hyperparameters = MappingProxyType(
            {name: valid._replace(default=defaults[name]) for name, valid in ranges.items()}
        )
        return checked

    return decorate
