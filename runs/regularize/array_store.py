"""Finished chunks as files of arrays, one a chunk, complete or not there."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from lr_batch.engine import Chunk
from runs.write import write_atomically


class ArrayStore:
    """Keeps `{name: array}` of each chunk in `folder`, under the hash of all that decides its numbers.

    Nothing in a file is executed: arrays of numbers only. A damaged file counts as absent.
    """

    def __init__(self, folder: Path):
        self.folder = folder / "chunks"
        self.folder.mkdir(parents=True, exist_ok=True)

    def load(self, chunk: Chunk) -> dict[str, np.ndarray] | None:
        """The arrays of `chunk`, None where it is not finished."""
        try:
            with np.load(io.BytesIO(self._path(chunk).read_bytes()), allow_pickle=False) as arrays:
                return dict(arrays)
        except (FileNotFoundError, zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError):
            return None

    def save(self, chunk: Chunk, arrays: dict[str, np.ndarray]) -> None:
        """Returns once the arrays would survive a crash."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self._path(chunk), buffer.getvalue())

    def _path(self, chunk: Chunk) -> Path:
        return self.folder / f"{chunk.id}.npz"
