"""Tables of the store, their version, and how an older version becomes the present one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from runs.store.errors import StoreError
from runs.store.rows import versions

VERSION = 1
APPLICATION_ID = 0x6C722D62  # "lr-b": tells a store from any other SQLite file

# Every trial row is complete in itself, so that damage to one row costs one row.
TABLES = """
CREATE TABLE studies (
    number INTEGER PRIMARY KEY,
    description TEXT NOT NULL
);
CREATE TABLE chunks (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    batch_size INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    seconds REAL NOT NULL,
    events TEXT NOT NULL,
    checksum TEXT NOT NULL
);
CREATE TABLE trials (
    number INTEGER PRIMARY KEY,
    config_hash TEXT NOT NULL,
    seed INTEGER NOT NULL,
    chunk TEXT NOT NULL,
    lane INTEGER NOT NULL,
    batch_size INTEGER NOT NULL,
    hparams TEXT NOT NULL,
    steps_to_goal REAL,
    steps INTEGER NOT NULL,
    status TEXT NOT NULL,
    eval_steps BLOB NOT NULL,
    curve BLOB NOT NULL,
    width INTEGER NOT NULL,
    device TEXT NOT NULL,
    precision TEXT NOT NULL,
    versions TEXT NOT NULL,
    checksum TEXT NOT NULL,
    UNIQUE (config_hash, seed)
);
CREATE INDEX trials_in_order ON trials (batch_size, seed, chunk, lane);
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    event TEXT NOT NULL
);
"""

DEFINITIONS = "SELECT rowid, type, name, tbl_name, sql FROM sqlite_master"

# MIGRATIONS[v] is the SQL that turns version v into v + 1. It makes changed tables anew and copies their
# rows, so that what SQLite keeps of them is the text above and `is_whole` holds.
MIGRATIONS: dict[int, str] = {}


def create(db: sqlite3.Connection) -> None:
    run_script(db, f"{TABLES} PRAGMA application_id = {APPLICATION_ID};", VERSION)


@cache
def _definitions() -> tuple[tuple[int, str, str, str, str | None], ...]:
    """What SQLite keeps of `TABLES`, in the order of creation."""
    with closing(sqlite3.connect(":memory:")) as db:
        create(db)
        return tuple(db.execute(DEFINITIONS))


def is_whole(db: sqlite3.Connection) -> bool:
    """Whether the tables are as they were created: no check of SQLite's notices a damaged column name."""
    return set(_definitions()) <= set(db.execute(DEFINITIONS))


def restore(path: Path) -> None:
    """Writes the definitions of the tables over damaged ones in the file at `path`."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")  # first of all: it also lets SQLite read damaged ones
        for number, *definition in _definitions():
            db.execute(
                "UPDATE sqlite_master SET type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?",
                (*definition, number),
            )
        db.commit()


def run_script(db: sqlite3.Connection, script: str, version: int) -> None:
    """Runs `script` and sets the schema version, in one transaction."""
    db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT;")


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """Schema version of the file, 0 where it holds nothing yet; `StoreError` if it is not ours or newer."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    if pages > 1 and application != APPLICATION_ID:
        raise StoreError(f"{path}: a SQLite file, but not of lr-batch; move it away or name another folder")
    if version > VERSION:
        raise StoreError(
            f"{path}: written by a newer lr-batch with schema {version}; this one knows schemas up to "
            f"{VERSION} ({versions()}): update lr-batch"
        )
    return version
