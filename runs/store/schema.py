"""Tables of the store, their version, and how an older version becomes the present one."""

from __future__ import annotations

import sqlite3
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

# MIGRATIONS[v] is the SQL that turns version v into v + 1.
MIGRATIONS: dict[int, str] = {}


def create(db: sqlite3.Connection) -> None:
    run_script(db, f"{TABLES} PRAGMA application_id = {APPLICATION_ID};", VERSION)


def run_script(db: sqlite3.Connection, script: str, version: int) -> None:
    """Runs `script` and sets the schema version, in one transaction."""
    db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT;")


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """Schema version of the file, 0 where it holds nothing yet; `StoreError` if it is not ours or newer."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise StoreError(f"{path}: a SQLite file, but not of lr-batch; move it away or name another folder")
    if version > VERSION:
        raise StoreError(
            f"{path}: written by a newer lr-batch with schema {version}; this one knows schemas up to "
            f"{VERSION} ({versions()}): update lr-batch"
        )
    return version
