"""Finds out before a run whether a folder can be written to."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from runs.store.errors import StoreError
from runs.write import sync_folder, write_atomically

NEED = 16 * 2**20  # bytes: a default study is 2 MiB, its figures and report 8


def probe(directory: Path) -> None:
    """Makes `directory` and raises `StoreError`, one line with path and need, if it cannot be used."""
    try:
        _make(directory)
        _write(directory)
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise StoreError(f"{directory}: {error.strerror or error}; a writable folder is needed") from error
    if free < NEED:
        raise StoreError(f"{directory}: {NEED >> 20} MiB of free space needed, {free / 2**20:.1f} MiB left")


def _make(directory: Path) -> None:
    if not directory.exists():
        directory.mkdir(parents=True)
        sync_folder(directory.parent)


def _write(directory: Path) -> None:
    path = directory / f".{secrets.token_hex(8)}.probe"
    try:
        write_atomically(path, bytes(4096))
    finally:
        path.unlink(missing_ok=True)
