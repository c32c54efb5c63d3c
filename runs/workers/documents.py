"""JSON files with a checksum, complete or not there. Nothing in them is ever executed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runs.workers.errors import Damaged
from runs.write import sync_folder

CHECKSUM = "checksum"
UNFINISHED = ".part"
MAX_BYTES = 2**28  # of a document; the rows of a chunk are some 30 kB


def encoded(document: Mapping[str, Any]) -> bytes:
    """The document with its checksum, as bytes.

    >>> encoded({"b": 1})
    b'{"b":1,"checksum":"b6d552aa38d84a1b65b8a7032af971f0"}'
    """
    return _canonical({**document, CHECKSUM: _checksum(document)})


def decoded(data: bytes, where: str) -> dict[str, Any]:
    """The document without its checksum.

    Raises:
      Damaged: the checksum does not hold.
    """
    try:
        document = json.loads(data)
        given = document.pop(CHECKSUM)
        whole = given == _checksum(document)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError, IndexError):
        raise Damaged(f"{where}: damaged, it is not what was written") from None
    if not whole:
        raise Damaged(f"{where}: damaged, its checksum does not hold")
    return document


def read(path: Path) -> dict[str, Any]:
    """The document at `path`.

    Raises:
      Damaged: it is not what was written.
      FileNotFoundError: there is none.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    return decoded(data, str(path))


def write_surely(path: Path, document: Mapping[str, Any]) -> None:
    """Survives a loss of power from here on."""
    _write(path, document, synced=True)
    sync_folder(path.parent)


def write_quickly(path: Path, document: Mapping[str, Any]) -> None:
    """Complete or not there while the machine runs; after a loss of power its checksum may not hold."""
    _write(path, document, synced=False)


def _write(path: Path, document: Mapping[str, Any], *, synced: bool) -> None:
    try:
        _write_once(path, document, synced=synced)
    except FileNotFoundError:  # a study took the file for that of a process that was killed, and removed it
        _write_once(path, document, synced=synced)


def _write_once(path: Path, document: Mapping[str, Any], *, synced: bool) -> None:
    temporary = write_temporary(path.parent, document, synced=synced)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_temporary(folder: Path, document: Mapping[str, Any], *, synced: bool = False) -> Path:
    """A file of this process alone in `folder`, which the caller renames or removes.

    Its name is none that `runs.write` sweeps: that looks for the processes of one machine.
    """
    temporary = folder / f".{secrets.token_hex(8)}{UNFINISHED}"
    try:
        with temporary.open("xb") as file:
            file.write(encoded(document))
            if synced:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:  # a full disk names no file
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(folder)) from error
    return temporary


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.blake2b(_canonical(document), digest_size=16).hexdigest()
