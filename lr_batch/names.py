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


def named(kind: str, name: str, registry: Mapping[str, Any]) -> Any:
    """The entry of a registry, or one line with the nearest name."""
    if name not in registry:
        raise ValueError(unknown(kind, name, list(registry)))
    return registry[name]
