"""What this machine offers a study: devices, versions, SQLite, the file system of a folder."""

from __future__ import annotations

import platform
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runs.file_system import file_system, is_network

WAL_MENDED = (3, 51, 3)  # before it two writers of one log can damage the file; lr-batch has one at a time
IN_MEMORY = ("tmpfs", "ramfs")


class Found(NamedTuple):
    """A line, and whether it needs the user's attention."""

    line: str
    bad: bool = False

    def __str__(self) -> str:
        return f"! {self.line}" if self.bad else f"  {self.line}"


def examine(folder: Path) -> list[Found]:
    """Everything that `lr-batch doctor` says of this machine and of `folder`, which need not exist."""
    return [*_versions(), *_devices(), *_sqlite(), *_folder(folder)]


def _versions() -> Iterator[Found]:
    import json

    from runs.store.rows import versions

    yield Found(f"Python {platform.python_version()} on {platform.platform()}")
    named = json.loads(versions())
    yield Found(", ".join(f"{name} {version}" for name, version in named.items()))


def _devices() -> Iterator[Found]:
    import jax

    from lr_batch.engine import worker_devices

    try:
        devices = worker_devices()
    except RuntimeError as error:
        yield Found(f"JAX finds no device: {str(error).partition(chr(10))[0]}", bad=True)
        return
    yield Found(f"{len(devices)} chunks at a time, on {devices[0].device_kind} ({jax.default_backend()})")


def _sqlite() -> Iterator[Found]:
    known = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < WAL_MENDED:
        yield Found(
            f"{known}: before 3.51.3 two writers could damage a store; lr-batch has one, do not write yourself"
        )
    else:
        yield Found(known)


def _folder(folder: Path) -> Iterator[Found]:
    in_the_way = _in_the_way(folder.absolute())
    if in_the_way:
        yield Found(in_the_way, bad=True)
        return
    kind = file_system(folder)
    if is_network(kind):
        yield Found(
            f"{folder} lies on {kind}, a network file system: stores are written without SQLite's shared log there, "
            "which is slower; let one machine write to a folder, the lease cannot see processes of others"
        )
    elif kind in IN_MEMORY:
        yield Found(f"{folder} lies on {kind}, in memory: what is there is lost when the machine stops")
    else:
        yield Found(f"{folder} lies on {kind}")
    yield from _space(folder)
    yield from _links(folder)


def _in_the_way(folder: Path) -> str | None:
    """Why no folder can be made there, whoever may write."""
    for path in (folder, *folder.parents):
        if path.is_symlink() and not path.exists():
            return f"{path}: is a link to nothing; remove it or name another folder"
        if path.exists() and not path.is_dir():
            return f"{path}: is no folder; name another one"
    return None


def _space(folder: Path) -> Iterator[Found]:
    from runs.store.probe import NEED

    there = _existing(folder)
    free = shutil.disk_usage(there).free
    yield Found(f"{free / 1e9:.1f} GB free there", bad=free < NEED)


def _links(folder: Path) -> Iterator[Found]:
    """Whether workers can agree there."""
    import os
    import tempfile

    try:
        with tempfile.TemporaryDirectory(dir=_existing(folder), prefix=".lr-batch-") as scratch:
            one, other = Path(scratch, "one"), Path(scratch, "other")
            one.touch()
            os.link(one, other)
    except OSError as error:
        yield Found(
            f"no files or hard links can be made there: {error.strerror}; --workers-dir needs both", bad=True
        )
    else:
        yield Found("hard links can be made there, by which workers agree")


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
