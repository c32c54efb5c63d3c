"""Whether functions that are handed over take what they will be called with, told by their signatures.

What they are called with, annotations say: `on_chunk: Callable[[Progress], None]`. Nothing is called here.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Union

from optim.annotations import fits, hint_of

LONGEST = 80  # characters of a function as it is shown


def check_functions(owner: str, annotated: Callable, given: Mapping[str, Any]) -> None:
    """Raises ValueError, in one line, for a function that does not take what it will be called with.

    Args:
      owner: begins the message.
      annotated: a function or a class, whose annotations say what the functions among its arguments are called with.
      given: its arguments by name.

    >>> def run(on_chunk: Callable[[int], None]): ...
    >>> check_functions("run", run, {"on_chunk": lambda done, planned: None})
    Traceback (most recent call last):
    ValueError: run: on_chunk is called with one argument (int), which <lambda>(done, planned) does not take
    """
    for name, hint in _hints(annotated).items():
        for place, function, types_of_arguments in _called(name, given.get(name), hint):
            check_call(owner, place, function, types_of_arguments)


def check_call(owner: str, place: str, function: Callable, arguments: tuple[Any, ...]) -> None:
    """Raises ValueError unless a function takes so many arguments, of these types."""
    if not _takes(function, len(arguments)):
        raise ValueError(
            f"{owner}: {place} is called with {_words(arguments)}, which {_shown(function)} does not take"
        )


@cache
def _hints(annotated: Callable) -> Mapping[str, Any]:
    """The annotations that tell what a function is called with."""
    hints = {name: hint_of(annotated, text) for name, text in annotated.__annotations__.items()}
    return {name: hint for name, hint in hints.items() if name != "return" and "Callable[[" in str(hint)}


def _called(place: str, value: Any, hint: Any) -> Iterator[tuple[str, Callable, tuple[Any, ...]]]:
    """The functions in a value, where each stands, and the types of what it is called with."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        kinds = [part for part in inner if fits(value, part)]
        if len(kinds) == 1:  # what is an object of another kind is not called as a function is
            yield from _called(place, value, kinds[0])
    elif origin is collections.abc.Callable and inner[0] is not ... and callable(value):
        yield place, value, tuple(inner[0])
    elif origin is collections.abc.Mapping and isinstance(value, Mapping):
        for name, one in value.items():
            yield from _called(f"{place} {name!r}", one, inner[1])


def _takes(function: Callable, arguments: int) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C: nothing is known
        return True
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        return False
    return True


def _words(arguments: tuple[Any, ...]) -> str:
    count = {0: "no argument", 1: "one argument"}.get(len(arguments), f"{len(arguments)} arguments")
    names = [_name_of(typing.get_origin(kind) or kind) for kind in arguments]
    told = (
        arguments
        and all(names)
        and not {Any, Union, types.UnionType} & {*arguments, *map(typing.get_origin, arguments)}
    )
    return f"{count} ({', '.join(names)})" if told else count


def _name_of(kind: Any) -> str:
    """Without the module that a few carry in it, but for arrays of jaxtyping, whose shapes tell more."""
    name = getattr(kind, "__name__", "")
    return name if "[" in name else name.rpartition(".")[2]


def _shown(function: Callable) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return f"{name}{inspect.signature(function)}"[:LONGEST]
