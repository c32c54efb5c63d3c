"""Finds out before a run whether a folder can be written to."""

from __future__ import annotations

import shutil
from pathlib import Path

from runs.store.connection import check_length
from runs.store.database import NAME, refuse_links
from runs.store.errors import BadFolder, StoreError
from runs.write import sync_folder, temporary_in, write_atomically

NEED = 16 * 2**20  # bytes: a default study is 2 MiB, its figures and report 8


def probe(directory: Path) -> None:
    """Makes `directory` and raises `StoreError`, one line with path and need, if it cannot be used."""
    try:
        check_length(directory / NAME)
        _make(directory)
        refuse_links(directory)
        _write(directory)
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise BadFolder(f"{directory}: {error.strerror or error}; a writable folder is needed") from error
    if free < NEED:
        raise StoreError(f"{directory}: {NEED >> 20} MiB of free space needed, {free / 2**20:.1f} MiB left")


def _make(directory: Path) -> None:
    if not directory.exists():
        directory.mkdir(parents=True)
        sync_folder(directory.parent)


def _write(directory: Path) -> None:
    path = temporary_in(directory)
    try:
        write_atomically(path, bytes(4096))
    finally:
        path.unlink(missing_ok=True)
