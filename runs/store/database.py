"""Opens the SQLite file of a store: creates it, checks it, brings it to the present version."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from runs.store import schema
from runs.store.connection import as_store_error, check_length, configure, connect, is_damage
from runs.store.errors import BadFolder, StoreError
from runs.store.packing import Connection
from runs.store.rebuild import in_memory, migrate, salvage, what_is_kept
from runs.workers.layout import MARKER
from runs.write import sync_folder

NAME = "store.sqlite"
HEADER = b"SQLite format 3\x00"
SHOWN = 3  # folders that are named
# What a run writes to, where it must not be led elsewhere by a link that somebody else has laid.
WRITTEN = ("store.sqlite", "lease.sqlite", "lanes", "chunks")


def open_database(directory: Path, *, full_sync: bool) -> Connection:
    """For a writer: creates `directory / NAME` where there is none, rescues the rows of a damaged file, and
    migrates an older one."""
    path = directory / NAME
    with as_store_error(path):
        _refuse_foreign_file(path)
        _create_or_repair(path, full_sync)
        return connect(path, full_sync=full_sync)


def open_for_reading(directory: Path) -> tuple[Connection, str | None]:
    """For a reader, who changes nothing; and what it could not read. Of a file that is damaged or of an older
    version the rows that are whole are read into memory."""
    path = directory / NAME
    with as_store_error(path):
        check_length(path)
        _refuse_foreign_file(path)
        if not path.exists():
            raise BadFolder(_without_store(directory))
        version = _sound_version(path, read_only=True) if path.stat().st_size else 0
        if version == 0:  # of a run that was killed while it created the file
            raise BadFolder(f"{path}: empty; nothing was saved in this folder yet")
        if version == schema.VERSION:
            return connect(path, read_only=True), None
        db, counts = in_memory(path)
        configure(db, read_only=True)
        damage = f"{path}: damaged; {what_is_kept(counts)} can be read, the rest runs again"
        return db, None if version else damage


def _without_store(directory: Path) -> str:
    """Why there is nothing to read, and where there is something."""
    if not directory.exists():
        return f"{directory}: there is no such folder; name the one that a command has printed at its end"
    if not directory.is_dir():
        return f"{directory}: is no folder; name the one that a command has printed at its end"
    if (directory / MARKER).exists():
        return f"{directory}: holds chunks for workers, see `lr-batch status`; rows are in the folder of their study"
    inside = sorted(folder.parent.name for folder in directory.glob(f"*/{NAME}"))
    if not inside:
        return f"{directory}: holds no results of lr-batch, there is no {NAME} in it"
    others = f" and {len(inside) - SHOWN} more" if len(inside) > SHOWN else ""
    return f"{directory}: holds no results itself, but folders with some: {', '.join(inside[:SHOWN])}{others}"


def refuse_links(directory: Path) -> None:
    """Raises where a path that a run writes to is a link, or leads through one."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.is_symlink() and path.name.startswith(WRITTEN):
            raise BadFolder(
                f"{path}: is a link, which is not followed here; remove it or name another folder"
            )
    for folder, folders, files in os.walk(directory / "lanes"):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(folder, name)):
                raise StoreError(
                    f"{os.path.join(folder, name)}: is a link, which is not followed here; remove it"
                )


def _refuse_foreign_file(path: Path) -> None:
    """Raises unless `path` is absent, empty (a run killed while creating it) or a SQLite file."""
    if not path.exists() or not path.stat().st_size:
        return
    with open(path, "rb") as file:
        if file.read(len(HEADER)) != HEADER:
            raise StoreError(f"{path}: not a store of lr-batch; move it away or name another folder")


def _create_or_repair(path: Path, full_sync: bool) -> None:
    new = not path.exists()
    version = 0 if new else _sound_version(path, read_only=False)
    if version is None:
        salvage(path)
    elif 0 < version < schema.VERSION:
        migrate(path, version)
    with closing(connect(path, full_sync=full_sync)) as db:
        if version == 0:
            schema.create(db)
        schema.set_header(db)
    if new:
        sync_folder(path.parent)


def _sound_version(path: Path, *, read_only: bool) -> int | None:
    """The version of a file without damage (0: nothing in it yet), None for one that is damaged."""
    try:
        with closing(connect(path, read_only=read_only)) as db:
            version = schema.version_of(db, path)
            if version and not schema.is_whole(db, version):
                return None
            return version if db.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",) else None
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return None
