"""Looks names up, and says what is near where there is no such name."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any


def unknown(kind: str, name: str, known: Collection[str]) -> str:
    """One line for a name that is not known: the nearest one, and all.

    >>> unknown("goal metric", "los", ["loss", "error"])
    "unknown goal metric 'los'; did you mean 'loss'? (known: error, loss)"
    """
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(sorted(known))})"


class Registry(dict):
    """Rows by name; looking up an unknown name says which names there are.

    >>> Registry("fruit", {"apple": 1})["aple"]
    Traceback (most recent call last):
    ValueError: unknown fruit 'aple'; did you mean 'apple'? (known: apple)
    """

    def __init__(self, kind: str, rows: Mapping[str, Any]):
        super().__init__(rows)
        self.kind = kind

    def __missing__(self, name: str) -> Any:
        raise ValueError(unknown(self.kind, name, self))
