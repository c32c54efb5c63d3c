"""Says which argument is of the wrong kind, where one made a call fail with an error of Python's own.

Annotations are read after the fact: a call that works costs nothing and is never refused, and what went wrong deep
inside is said as what was handed over outside.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import numbers
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union

import numpy as np

Decorated = TypeVar("Decorated", bound=Callable)
LISTS = (tuple, list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
OF_PYTHON = (TypeError, AttributeError, LookupError, OverflowError, ValueError)
# How the ValueErrors begin that nobody raises on purpose.
NOBODYS = (
    "The truth value of an",
    "setting an array element",
    "could not convert string to float",
    "invalid literal for int()",
    "dictionary update sequence",
)
TOO_OPEN = (Any, object, inspect.Parameter.empty)
WORDS = {
    float: "a number",
    int: "a whole number",
    str: "text",
    bool: "True or False",
    collections.abc.Callable: "a function",
    collections.abc.Mapping: "a mapping from names",
    dict: "a mapping from names",
    **dict.fromkeys(LISTS, "a list"),
}


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
            return function(*args, **kwargs)
        except OF_PYTHON as error:
            if isinstance(error, ValueError) and not str(error).startswith(NOBODYS):
                raise
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError:
                raise error from None  # of the call: an argument is missing, or not known
            if wrong := wrong_arguments(function, given):
                raise ValueError(f"{owner}: {wrong[0]}") from error
            raise

    return called


def wrong_arguments(function: Callable, given: Mapping[str, Any]) -> list[str]:
    """A sentence for each argument that is not of the kind which its annotation says."""
    hints = {name: _hint(function, text) for name, text in function.__annotations__.items()}
    parameters = inspect.signature(function).parameters
    return [
        f"{name} must be {_words(hints[name])}, got {shown(value)}"
        for name, value in given.items()
        if name in hints
        and parameters[name].kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        and value is not parameters[name].default
        and not _fits(value, hints[name])
    ]


def check_mapping(owner: str, values: Any) -> None:
    """Raises ValueError unless hyperparameters are given by name."""
    if not isinstance(values, Mapping):
        raise ValueError(
            f"{owner}: hyperparameters must be a mapping from names to values, got {shown(values)}"
        )


def _hint(function: Callable, annotation: Any) -> Any:
    """An annotation as a type; Any where its names are imported for type checkers alone."""
    if not isinstance(annotation, str):
        return annotation
    names = vars(sys.modules[function.__module__]) | getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return eval(annotation, dict(names))
    except (NameError, AttributeError, TypeError, SyntaxError):
        return Any


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in TOO_OPEN or isinstance(hint, TypeVar):
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in inner)
    if origin is Literal:
        return value in inner
    if origin is typing.Annotated:
        return _fits(value, inner[0])
    if hint is None or hint is type(None):
        return value is None
    kind = origin or hint
    if kind is float:
        return isinstance(value, numbers.Real | np.number) or getattr(value, "shape", None) == ()
    if kind is int:
        return isinstance(value, numbers.Integral | np.integer) and not isinstance(value, bool)
    if hasattr(kind, "dtypes"):  # an array of jaxtyping
        return hasattr(value, "shape")
    if kind in LISTS:
        scalar = getattr(value, "ndim", 1) == 0
        listed = hasattr(value, "__iter__") and not scalar and not isinstance(value, str | bytes)
        read_again = isinstance(value, collections.abc.Collection | np.ndarray)
        of_one_kind = len(inner) == 1 and read_again
        return listed and (not of_one_kind or all(_fits(one, inner[0]) for one in value))
    if kind is collections.abc.Mapping and isinstance(value, kind) and len(inner) == 2:
        return all(_fits(one, inner[1]) for one in value.values())
    return not isinstance(kind, type) or _is_one(value, kind)


def _is_one(value: Any, kind: type) -> bool:
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol that cannot be told at run time
        return True


def _words(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_words, inner)))
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if hint is None or hint is type(None):
        return "None"
    kind = origin or hint
    if hasattr(kind, "dtypes"):
        return "an array"
    named = WORDS.get(kind) or f"a {getattr(kind, '__name__', kind)}"
    return f"{named} of {_words(inner[0]).removeprefix('a ')}" if len(inner) == 1 and kind in LISTS else named


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
