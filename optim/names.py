"""Words of messages: names that are not known and what is near them, numbers with their nouns."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any


def unknown(kind: str, name: str, known: Collection[str]) -> str:
    """One line for a name that is not known: the nearest one, and all.

    >>> unknown("goal metric", "los", ["loss", "error"])
    "unknown goal metric 'los'; did you mean 'loss'? (known: error, loss)"
    """
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    said = " ".join(repr(name).split())  # an array's is several lines
    return f"unknown {kind} {said}{hint} (known: {', '.join(sorted(known))})"


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "lane"), counted(1408, "trial")
    ('1 lane', '1,408 trials')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(noun: str, values: Iterable[Any]) -> str:
    """Values behind their noun.

    >>> listed("batch size", [4]), listed("batch size", [4, 16]), listed("batch size", [4, 8, 16])
    ('batch size 4', 'batch sizes 4 and 16', 'batch sizes 4, 8 and 16')
    """
    *first, last = map(str, values)
    return f"{noun}s {', '.join(first)} and {last}" if first else f"{noun} {last}"


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


class FrozenMapping(Mapping):
    """A mapping that nobody can change; unlike `MappingProxyType` it can be pickled, copied and hashed.

    >>> FrozenMapping({"a": 1})
    FrozenMapping({'a': 1})
    """

    def __init__(self, items: Mapping[str, Any]):
        self._items = dict(items)

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return f"FrozenMapping({self._items})"
