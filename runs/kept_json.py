"""JSON that results are read from again: an object whose checksum holds, or it is damaged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lr_batch.engine import fingerprint
from runs.write import json_text, write_json

CHECKSUM = "checksum"


def write_kept(path: Path, document: Mapping[str, Any]) -> None:
    """Writes the document with its checksum."""
    kept = json.loads(json_text(document))  # as it will be read
    write_json(path, {**kept, CHECKSUM: fingerprint(kept)})


def read_kept(path: Path) -> dict[str, Any]:
    """What `write_kept` has written; of earlier versions, which wrote no checksum, as it stands there.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is damaged.
    """
    found = read_object(path)
    checksum = found.pop(CHECKSUM, None)
    if checksum is not None and checksum != fingerprint(found):
        raise ValueError(f"{path}: damaged, its checksum does not hold")
    return found


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is damaged: no JSON, too deep, or JSON of another kind.
    """
    try:
        found = json.loads(path.read_text())
    except RecursionError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: damaged, it holds no JSON object")
    return found
