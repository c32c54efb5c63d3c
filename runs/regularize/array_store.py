"""Finished chunks as files of arrays, one a chunk, complete or not there."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lr_batch.engine import Chunk, Identity
from runs.write import sweep, write_atomically

Arrays = dict[str, np.ndarray]
CHUNK = "chunk"  # the array of bytes that says which trials the others are of


class ArrayStore:
    """Keeps `{name: array}` of each chunk in `folder`, under the hash of all that decides its numbers.

    A file's name ends in a hash of its content and its chunk, which is checked before anything reads the
    file. Nothing in it is executed: arrays of numbers only. Whatever else is there counts as absent.
    """

    def __init__(self, folder: Path, *, read_only: bool = False):
        self.folder = folder / "chunks"
        if not read_only:
            self.folder.mkdir(parents=True, exist_ok=True)
            sweep(self.folder)

    def load(self, chunk: Chunk) -> Arrays | None:
        """The arrays of `chunk`, None where it is not finished."""
        for path in self._files(chunk.id):
            if arrays := _checked(path):
                return {name: array for name, array in arrays.items() if name != CHUNK}
        return None

    def save(self, chunk: Chunk, arrays: Arrays) -> None:
        """Returns once the arrays would survive a crash. Damaged files of the chunk go."""
        buffer, told = io.BytesIO(), json.dumps([chunk.identity.described(), *chunk[1:]])
        kept: dict[str, Any] = {CHUNK: np.frombuffer(told.encode(), np.uint8), **arrays}
        np.savez(buffer, **kept)
        path = self.folder / f"{chunk.id}-{_hash(chunk.id, buffer.getvalue())}.npz"
        write_atomically(path, buffer.getvalue())
        for other in self._files(chunk.id):
            if other != path:
                other.unlink(missing_ok=True)

    def chunks(self) -> Iterator[tuple[Chunk, Arrays]]:
        """All that is whole, in no order of arrival."""
        for path in sorted(self.folder.glob("*.npz")):
            if arrays := _checked(path):
                identity, batch_size, seed, settings = json.loads(arrays.pop(CHUNK).tobytes())
                identity = Identity(**identity | {"goal": tuple(identity["goal"])})
                yield Chunk(identity, batch_size, seed, tuple(settings)), arrays

    def width(self) -> int | None:
        """Lanes of the widest chunk, as memory may have cut others in half; None where there are none."""
        return max((chunk.identity.width for chunk, _ in self.chunks()), default=None)

    def damaged(self) -> list[Path]:
        """Files that are not what their names say; their chunks run again."""
        return [
            path for path in sorted(self.folder.glob("*")) if path.suffix == ".npz" and not _checked(path)
        ]

    def _files(self, chunk_id: str) -> list[Path]:
        return sorted(self.folder.glob(f"{chunk_id}*.npz"))


def _checked(path: Path) -> Arrays | None:
    """The arrays of a file whose hash holds."""
    chunk_id, _, promised = path.stem.partition("-")
    if path.is_symlink() or not path.is_file():
        return None
    content = path.read_bytes()
    if _hash(chunk_id, content) != promised:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def _hash(chunk_id: str, content: bytes) -> str:
    return hashlib.sha256(chunk_id.encode() + content).hexdigest()[:32]
