"""Says which argument is of the wrong kind, where one made a call fail with an error of Python's own.

Annotations are read after the fact: a call that works costs nothing and is never refused, and what went wrong deep
inside is said as what was handed over outside. Only functions are asked before, see `optim.functions`: a mistake in
them would show after minutes of training.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from optim.annotations import fits, hint_of, words_for
from optim.functions import check_functions

Decorated = TypeVar("Decorated", bound=Callable)
OF_PYTHON = (TypeError, AttributeError, LookupError, OverflowError, ValueError)
# How the ValueErrors begin that nobody raises on purpose.
NOBODYS = (
    "The truth value of an",
    "setting an array element",
    "could not convert string to float",
    "cannot convert float NaN",
    "invalid literal for int()",
    "dictionary update sequence",
)

OURS = 500  # characters that no message of ours has


def explain_arguments(decorated: Decorated) -> Decorated:
    """Decorates a function, or a class for what it is made from.

    >>> @explain_arguments
    ... def half(number: float): return number / 2
    >>> half(3)
    1.5
    >>> half("3")
    Traceback (most recent call last):
    ValueError: half: number must be a number, got '3'
    """
    if isinstance(decorated, type):
        decorated.__init__ = _explained(decorated.__init__, decorated.__name__)
        return typing.cast(Decorated, decorated)
    return typing.cast(Decorated, _explained(decorated, decorated.__name__))


def _explained(function: Callable, owner: str) -> Callable:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # Python says which argument is missing, or not known
        check_functions(owner, function, given)
        try:
            return function(*args, **kwargs)
        except OF_PYTHON as error:
            if isinstance(error, ValueError) and not str(error).startswith(NOBODYS):
                _put_on_one_line(error)
                raise
            if wrong := wrong_arguments(function, given):
                raise ValueError(f"{owner}: {wrong[0]}") from error
            raise

    return called


def _put_on_one_line(error: ValueError) -> None:
    """Of ours, in which an array that was handed over may have written several lines; longer ones are of others."""
    if len(error.args) == 1 and len(said := str(error)) < OURS and "\n" in said:
        error.args = (" ".join(said.split()),)


def wrong_arguments(function: Callable, given: Mapping[str, Any]) -> list[str]:
    """A sentence for each argument that is not of the kind which its annotation says."""
    hints = {name: hint_of(function, text) for name, text in function.__annotations__.items()}
    parameters = inspect.signature(function).parameters
    return [
        f"{name} must be {words_for(hints[name])}, got {shown(value)}"
        for name, value in given.items()
        if name in hints
        and parameters[name].kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        and value is not parameters[name].default
        and not fits(value, hints[name])
    ]


def check_mapping(owner: str, values: Any) -> None:
    """Raises ValueError unless hyperparameters are given by name."""
    if not isinstance(values, Mapping):
        raise ValueError(
            f"{owner}: hyperparameters must be a mapping from names to values, got {shown(values)}"
        )


def type_of(value: Any) -> str:
    """The name of its type; None is called None."""
    return "None" if value is None else type(value).__name__


def shown(value: Any) -> str:
    """Short values as they are, others by their kind."""
    plain = value is None or isinstance(value, str | bool | int | float | bytes | np.generic)
    return (
        repr(value)[:60]
        if plain
        else f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"
    )
