"""What a folder is for: whether two descriptions are of one study, and which study its chunks prove."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from lr_batch.engine import Identity, fingerprint
from runs.store.rows import ChunkRow, StudyRow, TrialRow

# Parts of a study that can change while its finished rows stay valid.
EXTENDABLE = ("space", "batch_sizes", "seeds", "trials")
# Parts of a chunk's identity that are its own: how it was cut and executed.
OF_CHUNK = ("width", "lanes", "segment")
EXECUTIONS = ("vmap", "blocks", "map")  # what "lanes" can be
WIDEST = 60  # characters of a value that still read as one line


class Description(NamedTuple):
    """What a folder is for.

    Attributes:
      kind: name of the command; "" where the description was lost and chunks alone tell the study.
      study: all that decides its numbers, JSON-like.
      command: as it was typed last, "" where it was called from Python.
      versions: of the packages that wrote it.
    """

    kind: str
    study: Mapping[str, Any]
    command: str = ""
    versions: Mapping[str, str] = {}


def described(row: StudyRow) -> Description:
    return Description(row.kind, json.loads(row.study), row.command, json.loads(row.versions))


@lru_cache(1000)
def identity_of(text: str) -> Mapping[str, Any]:
    """What a chunk's row says of it; the chunks of a study share a few."""
    return json.loads(text)


def proved(chunks: Iterable[ChunkRow]) -> list[Mapping[str, Any]]:
    """The studies that the chunks belong to, by their identities: one, where nobody has mixed them."""
    studies = {}
    for text in {chunk.identity: None for chunk in chunks}:
        study = {name: value for name, value in identity_of(text).items() if name not in OF_CHUNK}
        studies[fingerprint(study)] = study
    return list(studies.values())


def agree(identity: Mapping[str, Any], study: Mapping[str, Any]) -> bool:
    """Whether a chunk's identity is that of a study. What has a default is left out of either where it holds it."""
    defaults = Identity._field_defaults
    one, other = ({**defaults, **identity_part(described)} for described in (identity, study))
    return all(one[name] == other[name] for name in {*one} & {*other} - {*OF_CHUNK})


def identity_part(study: Mapping[str, Any]) -> dict[str, Any]:
    """What of a description decides the numbers of each trial: all but the grid, and what a chunk has of its own."""
    return {name: study[name] for name in Identity._fields if name in study and name not in OF_CHUNK}


def belonging(
    rows: Iterable[TrialRow], chunks: Iterable[ChunkRow], study: Mapping[str, Any]
) -> list[TrialRow]:
    """The trials of one study alone.

    A trial whose chunk's row was lost proves by its hash that it belongs: to the identity of another chunk, or to
    the one that the study describes.
    """
    rows = list(rows)
    identities = {chunk.id: chunk.identity for chunk in chunks}
    agreeing = {text for text in {*identities.values()} if agree(identity_of(text), study)}
    own = {chunk for chunk, text in identities.items() if text in agreeing}
    distinct = [dict(identity_of(text)) for text in sorted(agreeing)]
    if any(row.chunk not in identities for row in rows):
        distinct += _described_identities(study, {row.width for row in rows})
    return [
        row
        for row in rows
        if (row.chunk in own if row.chunk in identities else any(_made_by(row, one) for one in distinct))
    ]


def _described_identities(study: Mapping[str, Any], widths: Iterable[int]) -> list[dict[str, Any]]:
    """Those that the chunks of a study can have, executed in each way."""
    shared = {name: study[name] for name in Identity._fields if name in study}
    return [shared | {"width": width, "lanes": lanes} for width in widths for lanes in EXECUTIONS]


def _made_by(row: TrialRow, identity: Mapping[str, Any]) -> bool:
    return fingerprint([identity, row.batch_size, json.loads(row.hparams)]) == row.config_hash


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
    return [name for name, change in changes.items() if not _extends(name, change)]


def _extends(name: str, change: str) -> bool:
    """Whether it is of the grid, or a further study of a comparison."""
    first = name.split(".")[0]
    return first in EXTENDABLE or (
        first in ("studies", "folders", "extend") and change.startswith("absent -> ")
    )


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
