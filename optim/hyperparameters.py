"""States and checks the valid values of a factory's arguments, for `optim` and `reg` alike."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optim.arguments import explain_arguments, shown
from optim.keep_dtypes import keep_dtypes
from optim.names import FrozenMapping
from optim.range import Range, Valid

SCHEDULED = "learning_rate"  # the one hyperparameter that may be a function of the step


def hyperparameters(**valid: Valid) -> Callable[[Callable], Callable]:
    """Decorates a factory: the named arguments are checked whenever it is called.

    Those with a `Range` are hyperparameters: they may be traced arrays that differ between lanes, and are
    listed with their defaults in the attribute `hyperparameters` of the factory. All others are known when a
    program is built. None passes where it is the default: "left out". Transformations keep data types
    (`optim.keep_dtypes`).

    >>> @hyperparameters(rate=Range(low=0.0))
    ... def scale(rate=1.0): return optax.scale(rate)
    >>> scale(-1.0)
    Traceback (most recent call last):
    ValueError: scale: rate must be in [0, inf), got -1.0
    """

    def decorate(factory: Callable) -> Callable:
        made_by = with_checked_arguments(factory, valid, _check)

        @functools.wraps(factory)
        def checked(*args: Any, **kwargs: Any) -> Any:
            made = made_by(*args, **kwargs)
            return keep_dtypes(made) if isinstance(made, optax.GradientTransformation) else made

        checked = explain_arguments(checked)
        signature = inspect.signature(factory)
        checked.hyperparameters = FrozenMapping(
            {
                name: kind._replace(default=_default(signature, name))
                for name, kind in valid.items()
                if isinstance(kind, Range)
            }
        )
        return checked

    return decorate


def with_checked_arguments(
    factory: Callable, valid: Mapping[str, Valid], check: Callable[[Valid, str, str, Any], Any]
) -> Callable:
    """The factory, called with what `check(kind, owner, name, value)` makes of each of the named arguments."""
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def checked(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name, kind in valid.items():
            value = bound.arguments[name]
            if value is not None or signature.parameters[name].default is not None:
                bound.arguments[name] = check(kind, factory.__name__, name, value)
        return factory(*bound.args, **bound.kwargs)

    return checked


def _check(kind: Valid, owner: str, name: str, value: Any) -> Any:
    if isinstance(kind, Range) and callable(value) and name != SCHEDULED:
        raise ValueError(
            f"{owner}: {name} must be in {kind}, got a function; optax.inject_hyperparams takes schedules of it"
        )
    if isinstance(kind, Range) and callable(value):
        _check_schedule(owner, name, value)
        return value
    return kind.check(owner, name, value)


def _check_schedule(owner: str, name: str, schedule: Callable[[Any], Any]) -> None:
    """Refuses a function that gives no number for a step. One that cannot be traced is called once."""
    words = f"{owner}: {name} must be a number or a function from the step to one"
    try:
        rate = jax.eval_shape(schedule, jnp.int32(0))
    except Exception:
        try:
            rate = schedule(jnp.int32(0))
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"{words}; calling {shown(schedule)} failed: {reason}") from error
    dtype = getattr(rate, "dtype", None)
    real = dtype is not None and (jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer))
    if not (real and np.ndim(rate) == 0) and not isinstance(rate, int | float):
        said = shown(rate) if dtype is None else f"{dtype} of shape {np.shape(rate)}"
        raise ValueError(f"{words}; {shown(schedule)} gives {said}")


def _default(signature: inspect.Signature, name: str) -> Any:
    default = signature.parameters[name].default
    return None if default is inspect.Parameter.empty else default
