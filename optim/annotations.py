"""What an annotation says of a value, read at run time: whether one fits, and the kind in words."""

from __future__ import annotations

import collections.abc
import inspect
import numbers
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, TypeVar, Union

import numpy as np

LISTS = (tuple, list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
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


def hint_of(owner: Callable, annotation: Any) -> Any:
    """An annotation of a function or a class as a type; Any where its names are imported for type checkers alone."""
    annotation = getattr(annotation, "__forward_arg__", annotation)  # of a NamedTuple
    if not isinstance(annotation, str):
        return annotation
    names = vars(sys.modules[owner.__module__]) | getattr(inspect.unwrap(owner), "__globals__", {})
    try:
        return eval(annotation, dict(names))
    except (NameError, AttributeError, TypeError, SyntaxError):
        return Any


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the kind that an annotation says."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in TOO_OPEN or isinstance(hint, TypeVar):
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in inner)
    if origin is Literal:
        return value in inner
    if origin is typing.Annotated:
        return fits(value, inner[0])
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
        no_list = isinstance(value, str | bytes | collections.abc.Mapping)
        listed = hasattr(value, "__iter__") and not scalar and not no_list
        read_again = isinstance(value, collections.abc.Collection | np.ndarray)
        of_one_kind = len(inner) == 1 and read_again
        return listed and (not of_one_kind or all(fits(one, inner[0]) for one in value))
    if kind is collections.abc.Mapping and isinstance(value, kind) and len(inner) == 2:
        return all(fits(one, inner[1]) for one in value.values())
    return not isinstance(kind, type) or _is_one(value, kind)


def _is_one(value: Any, kind: type) -> bool:
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol that cannot be told at run time
        return True


def words_for(hint: Any) -> str:
    """The kind that an annotation says, for a reader."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(words_for, inner)))
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if hint is None or hint is type(None):
        return "None"
    kind = origin or hint
    if hasattr(kind, "dtypes"):
        return "an array"
    named = WORDS.get(kind) or f"a {getattr(kind, '__name__', kind)}"
    return (
        f"{named} of {words_for(inner[0]).removeprefix('a ')}" if len(inner) == 1 and kind in LISTS else named
    )
