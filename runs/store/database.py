"""Opens the SQLite file of a store: creates it, checks it, brings it to the present version."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from runs.store import schema
from runs.store.connection import as_store_error, connect, is_damage
from runs.store.errors import StoreError
from runs.store.migrate import migrate
from runs.store.salvage import salvage
from runs.write import sync_folder

NAME = "store.sqlite"
HEADER = b"SQLite format 3\x00"


def open_database(directory: Path, *, read_only: bool, full_sync: bool) -> sqlite3.Connection:
    """Opens `directory / NAME`. A writer creates the file where there is none, rescues the rows
    of a damaged one and migrates an older one; a reader changes nothing and raises instead."""
    path = directory / NAME
    with as_store_error(path):
        _refuse_foreign_file(path)
        if not read_only:
            _create_or_repair(path, full_sync)
        elif not path.exists():
            raise StoreError(f"{path}: no such store; nothing was saved in this folder yet")
        db = connect(path, read_only=read_only, full_sync=full_sync)
        if read_only:
            _check_readable(db, path)
        return db


def _refuse_foreign_file(path: Path) -> None:
    """Raises unless `path` is absent, empty (a run killed while creating it) or a SQLite file."""
    if not path.exists() or not path.stat().st_size:
        return
    with open(path, "rb") as file:
        if file.read(len(HEADER)) != HEADER:
            raise StoreError(f"{path}: not a store of lr-batch; move it away or name another folder")


def _create_or_repair(path: Path, full_sync: bool) -> None:
    new = not path.exists()
    if not new and not _is_sound(path):
        salvage(path)
    with closing(connect(path, full_sync=full_sync)) as db:
        version = schema.version_of(db, path)
        if not version:
            schema.create(db)
    if new:
        sync_folder(path.parent)
    if 0 < version < schema.VERSION:
        migrate(path, version)


def _is_sound(path: Path) -> bool:
    try:
        with closing(connect(path)) as db:
            if schema.version_of(db, path) == schema.VERSION and not schema.is_whole(db):
                return False
            return db.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return False


def _check_readable(db: sqlite3.Connection, path: Path) -> None:
    """A reader takes the present version only, since it may not migrate."""
    try:
        version = schema.version_of(db, path)
        if version != schema.VERSION:
            raise StoreError(
                f"{path}: written with schema {version}, this lr-batch reads schema {schema.VERSION}; "
                "run the study again to bring it up to date"
            )
        if not schema.is_whole(db):
            raise StoreError(f"{path}: damaged; run the study again to rescue its rows")
    except BaseException:
        db.close()
        raise
