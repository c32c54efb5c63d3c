"""Why a user's optimizer cannot be built, and the way out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import jax

from optim.users_error import first_line

TRACED = (
    "hyperparameters are traced, so that trials share a program: no if, no float(); see lr_batch.SCHEDULES for a "
    "schedule that takes a traced peak"
)
DTYPES = re.compile(
    r"must have (equal|identical) (output )?types"
)  # JAX, of branches and of what a loop carries
FURTHER = re.compile(r"unexpected keyword argument '(value|grad|value_fn|grad_fn)'")


def cannot_be_built(optimizer: Any, names: list[str], error: BaseException) -> str:
    """What the user's factory failed with, where, and the way out."""
    said = f"{optimizer.name} cannot be built: {first_line(error)}"
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        return (
            f"{said}; searched are {', '.join(names)}: use one of these names, or set {error.args[0]!r} too"
        )
    if isinstance(error, jax.errors.ConcretizationTypeError | jax.errors.TracerArrayConversionError):
        return f"{said}; {TRACED}"
    if isinstance(error, jax.errors.TracerIntegerConversionError):
        return f"{said}; {TRACED}"
    if isinstance(error, AttributeError):
        return f"{said}; it is given the model's parameters as they are (not in pairs, as optax.lookahead wants them)"
    if DTYPES.search(said):
        return (
            f"{said}; a step changes the data type of updates or state, as a rate in float32 does where parameters are "
            "in bfloat16: put what does so into optim.keep_dtypes"
        )
    if FURTHER.search(said):
        return (
            f"{said}; updates are called with value, grad, value_fn and grad_fn by name: let it take **extra "
            "(optim.sam does, optax.contrib.sam does not)"
        )
    if _takes_rate(optimizer.make):
        call = f"lambda hparams: {optimizer.name}(hparams['learning_rate'])"
        return f"{said}; an optimizer is a function of hyperparameters by name: write {call}"
    return said


def _takes_rate(make: Callable) -> bool:
    """Whether a function looks like one of Optax's own, `(learning_rate, ...) -> transformation`."""
    try:
        first = next(iter(inspect.signature(make).parameters), "")
    except (TypeError, ValueError):
        return False
    package = (getattr(make, "__module__", "") or "").partition(".")[0]
    return first in ("learning_rate", "lr", "step_size") or package == "optax"
