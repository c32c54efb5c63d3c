"""IDX, the format of the MNIST family: big-endian header, then the raw array (Y. LeCun's MNIST page)."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Array of unsigned bytes in an IDX file, plain or gzipped (told by its first bytes, not by its name).

    Raises:
      ValueError: in one line, if the file is not IDX, is damaged, too short or too long.
    """
    data = _decompressed(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTE:
        start = data[:4].hex(" ")
        raise ValueError(f"read_idx: {path} is not an IDX file of unsigned bytes, it starts with {start!r}")
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise ValueError(f"read_idx: {path} was cut off within its header")
    shape = tuple(int(size) for size in np.frombuffer(data[4:header], ">u4"))
    if len(data) - header != math.prod(shape):
        raise ValueError(
            f"read_idx: {path} should hold {' x '.join(map(str, shape))} bytes after its header, "
            f"has {len(data) - header}; it was cut off or changed"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _decompressed(path: Path) -> bytes:
    data = Path(path).read_bytes()
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"read_idx: {path} is a damaged gzip file: {error}") from error
