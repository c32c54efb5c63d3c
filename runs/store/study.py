"""Whether two descriptions are of one study, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Parts of a study that can change while its finished rows stay valid.
EXTENDABLE = ("space", "batch_sizes", "seeds")
WIDEST = 60  # characters of a value that still read as one line


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """What changed, by its dotted name: `{"space.learning_rate": "8 values 0.1 to 1 -> [0.5]"}`."""
    before, after = _flat(old), _flat(new)
    names = [*before, *(name for name in after if name not in before)]
    return {
        name: f"{_short(before.get(name, 'absent'))} -> {_short(after.get(name, 'absent'))}"
        for name in names
        if before.get(name) != after.get(name)
    }


def beyond_extension(changes: Mapping[str, str]) -> list[str]:
    """Names of the changes after which the old rows would no longer belong to the study."""
    return [name for name in changes if name.split(".")[0] not in EXTENDABLE]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= _flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _short(value: Any) -> str:
    """A value in a few words; long lists of numbers by their count and ends."""
    text = str(value)
    if len(text) <= WIDEST:
        return text
    if isinstance(value, list):
        return f"{len(value)} values {_short(value[0])} to {_short(value[-1])}"
    return f"{text[: WIDEST - 3]}..."
