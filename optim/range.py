"""Valid values of the arguments of a factory: numbers that may be searched, and choices that may not.

Each kind has `check(owner, name, value)`, which returns the value to use or raises ValueError in one line.
`optim.hyperparameters` calls it; `optim` and `reg` state every valid range with these.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optim.arguments import shown, type_of
from optim.functions import check_call
from optim.masks import leaves_of, matrices
from optim.names import unknown

Scalar = float | jax.Array
ScalarOrSchedule = Scalar | optax.Schedule
Mask = Callable[[optax.Params], Any]
DTypeLike = Any  # what `jnp.dtype` takes
INT32_MAX = 2**31 - 1  # an array holds larger whole numbers only as floating point numbers
STATIC = "under optax.inject_hyperparams name it in static_args"


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

    def check(self, owner: str, name: str, value: Any) -> Any:
        """`value`, if it is a scalar of the interval; else ValueError.

        Traced values pass: what they will be is not known yet.
        """
        if isinstance(value, jax.core.Tracer):
            return value
        number = not isinstance(value, (str, bytes)) and getattr(value, "ndim", 0) == 0
        try:
            valid = number and self.contains(float(value))
        except (TypeError, ValueError, OverflowError):
            valid = False
        if not valid:
            said = "a function" if callable(value) else repr(value)
            raise ValueError(
                f"{owner}: {name} must be in {self}, got {shown(value) if chr(10) in said else said}"
            )
        return float(value) if isinstance(value, int) and abs(value) > INT32_MAX else value


POSITIVE = Range(low=0.0, low_open=True)
NON_NEGATIVE = Range(low=0.0)
DECAY = Range(low=0.0, high=1.0, high_open=True)  # of an exponential moving average
PROBABILITY = DECAY  # of leaving something out: at 1 nothing would be left


class Whole:
    """A whole number as the default of an argument that sets a shape.

    `optax.inject_hyperparams` makes a traced array of every default that is an `int`; it leaves this alone.

    >>> Whole(128), range(Whole(3)), Whole(3) == 3
    (128, range(0, 3), True)
    """

    def __init__(self, value: int):
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return repr(self.value)

    def __eq__(self, other: object) -> bool:
        return self.value == (other.value if isinstance(other, Whole) else other)

    def __hash__(self) -> int:
        return hash(self.value)


class Count(NamedTuple):
    """Whole numbers of at least `low`, known when the program is built.

    >>> Count().check("shampoo", "interval", 0)
    Traceback (most recent call last):
    ValueError: shampoo: interval must be an integer >= 1, got 0
    """

    low: int = 1

    def check(self, owner: str, name: str, value: Any) -> int:
        """`value` as an `int`; ValueError where it is none, too small, or an array."""
        whole = not isinstance(value, (bool, np.bool_, jax.Array)) and hasattr(value, "__index__")
        if whole and self.low <= operator.index(value) <= INT32_MAX:
            return operator.index(value)
        found = f"an array; {STATIC}" if isinstance(value, jax.Array) else repr(value)
        most = f" and < 2^31, got {float(value):g}" if whole and value > INT32_MAX else f", got {found}"
        raise ValueError(f"{owner}: {name} must be an integer >= {self.low}{most}")


class Choice(tuple):
    """One of several names.

    >>> Choice(("paper", "sum")).check("lars", "denominator", "papr")
    Traceback (most recent call last):
    ValueError: lars: unknown denominator 'papr'; did you mean 'paper'? (known: paper, sum)
    """

    def check(self, owner: str, name: str, value: Any) -> Any:
        """`value`, if it is one of the names; else ValueError with the nearest."""
        if not isinstance(value, str) or value not in self:
            raise ValueError(f"{owner}: {unknown(name, value, self)}")
        return value


class Leaves(NamedTuple):
    """Which leaves of the parameters: "matrices", "all" or None, a function of the parameters, or a tree."""

    def check(self, owner: str, name: str, value: Any) -> Any:
        """What `optax.masked` takes: a function of the parameters, or None for all leaves."""
        if value is None or (isinstance(value, str) and value == "all"):
            return None
        if isinstance(value, str) and value == "matrices":
            return matrices
        if isinstance(value, (str, bool, int, float, jax.Array, np.ndarray, np.generic)):
            found = " ".join(repr(value).split())  # arrays write several lines
            raise ValueError(
                f"{owner}: {name} must be 'matrices', 'all', a function of the parameters or a tree of "
                f"booleans, got {found}; {STATIC}"
            )
        if callable(value):
            check_call(owner, name, value, (Any,))
        return functools.partial(leaves_of, owner, name, value)


class FloatType(NamedTuple):
    """A data type of floating point numbers, by name or as JAX writes it; None for that of the parameters."""

    def check(self, owner: str, name: str, value: Any) -> Any:
        """`value` as a data type, or None."""
        if value is None:
            return None
        try:
            dtype = None if isinstance(value, (jax.Array, np.ndarray)) else jnp.dtype(value)
        except (TypeError, ValueError):
            dtype = None
        if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
            raise ValueError(
                f"{owner}: {name} must be a floating point type such as 'bfloat16', got {value!r}; {STATIC}"
            )
        return dtype


class Function(NamedTuple):
    """A function; None for the usual one."""

    def check(self, owner: str, name: str, value: Any) -> Any:
        """`value`, if it can be called or is None."""
        if value is not None and not callable(value):
            raise ValueError(f"{owner}: {name} must be a function, got {type_of(value)}")
        return value


class Transformation(NamedTuple):
    """A gradient transformation of Optax's form."""

    def check(self, owner: str, name: str, value: Any) -> Any:
        """`value`, if it has functions `init` and `update`."""
        if not all(callable(getattr(value, part, None)) for part in ("init", "update")):
            kind = type(value).__name__
            raise ValueError(f"{owner}: {name} must be an optax.GradientTransformation, got {kind}")
        return value


COUNT = Count()
TRANSFORMATION = Transformation()
FUNCTION = Function()
MASK = Leaves()
FLOAT_TYPE = FloatType()


@runtime_checkable
class Valid(Protocol):
    """What an argument may be: `check` returns the value to use, or raises ValueError in one line."""

    def check(self, owner: str, name: str, value: Any) -> Any: ...
