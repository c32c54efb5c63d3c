"""What a worker delivers: rows, or the reason why there are none. Arrays are packed bytes, nothing is a pickle."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from lr_batch.engine import Chunk, ChunkResult
from runs.store.rows import check_result, versions
from runs.workers.errors import Damaged
from runs.workers.layout import FORMAT

KINDS = {"steps_to_goal": "<f8", "steps": "<i8", "eval_steps": "<i8", "values": "<f4"}
MAX_ARRAY = 2**30  # bytes
DIED = "died"  # in a document without rows: what the process, its device or its machine has died of


def of_rows(chunk: Chunk, rows: ChunkResult) -> dict[str, Any]:
    """The document of a finished chunk."""
    arrays = {name: _packed(np.asarray(getattr(rows, name), kind)) for name, kind in KINDS.items()}
    rest = {"status": list(rows.status), "width": int(rows.width), "device": rows.device}
    rest |= {"precision": rows.precision, "seconds": float(rows.seconds), "events": list(rows.events)}
    return {"format": FORMAT, "chunk": chunk.id, "rows": {**arrays, **rest, "versions": versions()}}


def of_failure(chunk: str, said: str, *, memory: bool = False) -> dict[str, Any]:
    """The document of a chunk that cannot be trained: `memory` where it did not fit."""
    return {"format": FORMAT, "chunk": chunk, "failed": said, "memory": memory}


def of_death(chunk: str, said: str) -> dict[str, Any]:
    """The document of a chunk whose process or device died, by whoever has noticed it."""
    return {"format": FORMAT, "chunk": chunk, DIED: said}


def rows_of(chunk: Chunk, document: Mapping[str, Any]) -> ChunkResult:
    """The rows of a document.

    Raises:
      Damaged: they are not those of `chunk`.
    """
    try:
        said = dict(document["rows"])
        arrays = {name: _unpacked(said.pop(name), kind) for name, kind in KINDS.items()}
        said |= {name: tuple(said[name]) for name in ("status", "events")}
        rows = ChunkResult(**arrays, **said)
        check_result(chunk, rows)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise Damaged(f"the result of chunk {chunk.id} cannot be read: {error!r}") from error
    return rows


def _packed(array: np.ndarray) -> dict[str, Any]:
    return {"shape": list(array.shape), "data": base64.b64encode(zlib.compress(array.tobytes(), 6)).decode()}


def _unpacked(packed: Mapping[str, Any], kind: str) -> np.ndarray:
    unpack = zlib.decompressobj()
    data = unpack.decompress(base64.b64decode(packed["data"], validate=True), MAX_ARRAY)
    return np.frombuffer(data, kind).reshape(packed["shape"]).astype(np.dtype(kind).newbyteorder("="))
