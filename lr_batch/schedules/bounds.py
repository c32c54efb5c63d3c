"""What the arguments of a schedule may be, refused by name at construction."""

from __future__ import annotations

import math

import numpy as np
from jax.core import Tracer

from optim.range import NON_NEGATIVE, POSITIVE, Range, Scalar

FRACTION = Range(low=0.0, high=1.0, low_open=True)


def check_common(
    owner: str,
    peak_value: Scalar,
    num_steps: Scalar,
    warmup_steps: Scalar,
    init_value: Scalar,
    *,
    endless: bool = False,
) -> None:
    """Refuses what no schedule can take; `endless` ones may have infinitely many steps."""
    POSITIVE.check(owner, "peak_value", peak_value)
    NON_NEGATIVE.check(owner, "init_value", init_value)
    if not (endless and not is_traced(num_steps) and num_steps == math.inf):
        check_steps(owner, "num_steps", num_steps, at_least=1)
    check_steps(owner, "warmup_steps", warmup_steps, at_least=0)
    if not is_traced(num_steps) and not is_traced(warmup_steps) and warmup_steps >= num_steps:
        raise ValueError(
            f"{owner}: warmup_steps must be less than num_steps, got {warmup_steps} of {num_steps} steps"
        )


def check_steps(owner: str, name: str, value: Scalar, *, at_least: int) -> None:
    """Refuses a count of steps that is not a whole number, or too small."""
    if is_traced(value):
        return
    if not _is_real(value) or not float(value).is_integer() or value < at_least:
        found = " ".join(repr(value).split())  # arrays write several lines
        raise ValueError(f"{owner}: {name} must be a whole number >= {at_least}, got {found}")


def is_traced(value: Scalar) -> bool:
    """Whether the value of an argument is not known until the program runs."""
    return isinstance(value, Tracer)


def _is_real(value: Scalar) -> bool:
    """Whether `value` is one real number, and not text, a truth value, or an array of several."""
    if isinstance(value, (str, bytes, bool)) or np.ndim(value):
        return False
    return np.issubdtype(np.asarray(value).dtype, np.number) and np.isrealobj(value)
