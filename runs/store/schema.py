"""Tables of the store, and their version, read from the tables themselves: one flipped bit changes a header's number."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from runs.store.errors import StoreError
from runs.store.rows import versions

VERSION = 3
APPLICATION_ID = 0x6C722D62  # "lr-b": tells a store from any other SQLite file

# See `runs.store.packing`. Damage to one row costs one row: the parts that rows share are there twice.
PACKED = """
CREATE TABLE parts (
    number INTEGER PRIMARY KEY,
    value BLOB NOT NULL,
    digest BLOB NOT NULL
);
CREATE TABLE parts_again (
    number INTEGER PRIMARY KEY,
    value BLOB NOT NULL,
    digest BLOB NOT NULL
);
CREATE TABLE chunks (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    identity INTEGER NOT NULL,
    batch_size INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    seconds REAL NOT NULL,
    events TEXT NOT NULL,
    checksum TEXT NOT NULL
);
CREATE TABLE trials (
    number INTEGER PRIMARY KEY,
    config_hash BLOB NOT NULL,
    seed INTEGER NOT NULL,
    chunk BLOB NOT NULL,
    lane INTEGER NOT NULL,
    batch_size INTEGER NOT NULL,
    hparams BLOB NOT NULL,
    steps_to_goal REAL,
    steps INTEGER NOT NULL,
    status INTEGER NOT NULL,
    cadence INTEGER NOT NULL,
    curve BLOB NOT NULL,
    maker INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    UNIQUE (config_hash, seed)
);
"""
# Of versions 1 and 2.
CHUNKS_AND_TRIALS = """
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
"""
STUDIES = """
CREATE TABLE studies (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    study TEXT NOT NULL,
    command TEXT NOT NULL,
    versions TEXT NOT NULL,
    checksum TEXT NOT NULL
);
"""
EVENTS = """
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    event TEXT NOT NULL,
    checksum TEXT NOT NULL
);
"""
STUDIES_1 = """
CREATE TABLE studies (
    number INTEGER PRIMARY KEY,
    description TEXT NOT NULL
);
"""
EVENTS_1 = """
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    event TEXT NOT NULL
);
"""
# By version, newest first. `runs.store.rebuild` brings the rows of an older one up to date.
TABLES = {
    3: STUDIES + PACKED + EVENTS,
    2: STUDIES + CHUNKS_AND_TRIALS + EVENTS,
    1: STUDIES_1 + CHUNKS_AND_TRIALS + EVENTS_1,
}

DEFINITIONS = "SELECT rowid, type, name, tbl_name, sql FROM sqlite_master"


def create(db: sqlite3.Connection, version: int = VERSION) -> None:
    """Makes the tables and sets their version, in one transaction."""
    db.executescript(f"BEGIN IMMEDIATE; {TABLES[version]} {_header(version)} COMMIT;")


def set_header(db: sqlite3.Connection) -> None:
    """Writes what the header says of the present version."""
    db.executescript(_header(VERSION))


def _header(version: int) -> str:
    return f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};"


@cache
def _definitions(version: int) -> frozenset[tuple[int, str, str, str, str | None]]:
    """What SQLite keeps of the tables of a version."""
    with closing(sqlite3.connect(":memory:")) as db:
        create(db, version)
        return frozenset(db.execute(DEFINITIONS))


def is_whole(db: sqlite3.Connection, version: int = VERSION) -> bool:
    """Whether the tables are as they were created: no check of SQLite's notices a damaged column name."""
    return _definitions(version) <= set(db.execute(DEFINITIONS))


def restore(path: Path, version: int) -> None:
    """Writes the definitions of the tables over damaged ones in the file at `path`."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")  # first of all: it also lets SQLite read damaged ones
        for number, *definition in _definitions(version):
            db.execute(
                "UPDATE sqlite_master SET type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?",
                (*definition, number),
            )
        db.commit()


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """Version of the file, 0 where it holds nothing yet; `StoreError` if it is not ours or newer.

    Tables that are whole are believed before a header that differs from them in one bit.
    """
    header = header_version(db)
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    whole = [version for version in TABLES if is_whole(db, version)]
    if whole and (header ^ whole[0]).bit_count() <= 1:
        return whole[0]
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if pages > 1 and application != APPLICATION_ID:
        raise StoreError(f"{path}: a SQLite file, but not of lr-batch; move it away or name another folder")
    if header > VERSION:
        raise StoreError(
            f"{path}: written by a newer lr-batch with schema {header}; this one knows schemas up to "
            f"{VERSION} ({versions()}): update lr-batch"
        )
    return header or (VERSION if pages > 1 else 0)  # tables come with their number, in one transaction


def header_version(db: sqlite3.Connection) -> int:
    """The number in the header, without its sign."""
    return db.execute("PRAGMA user_version").fetchone()[0] & 0xFFFFFFFF
