"""Rescues the intact rows of a damaged SQLite file."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from runs.store import schema
from runs.store.connection import connect, is_damage, one_line
from runs.store.errors import StoreError
from runs.store.rows import ChunkRow, TrialRow, is_intact
from runs.store.swap import swap

MIN_ROW_BYTES = 16  # bounds the row numbers of a file that cannot tell its largest
MAX_PADDING = 1000  # a header that asks for more is damaged itself


def salvage(path: Path) -> None:
    """Moves every row whose checksum holds to a new store; the damaged file stays beside it.

    What could not be rescued counts as not done, and runs again.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".salvage-") as scratch:
        fresh = Path(scratch, "fresh.sqlite")
        counts = _rescue(_padded_copy(path, Path(scratch)), fresh, path)
        kept = swap(path, fresh, "damaged")
    with closing(connect(path)) as db:
        event = (
            f"the store was damaged: rescued {counts['trials']} trials of {counts['chunks']} chunks, "
            f"what is missing runs again; the damaged file is {kept.name}"
        )
        db.execute("INSERT INTO events (event) VALUES (?)", (event,))


def _padded_copy(path: Path, folder: Path) -> Path:
    """A copy as long as its header says: SQLite reads nothing of a file that is too short."""
    copy = folder / path.name
    for name in (path.name, f"{path.name}-wal"):
        if path.with_name(name).exists():
            shutil.copy(path.with_name(name), folder)
    with open(copy, "r+b") as file:
        header = file.read(32)
        page_size = int.from_bytes(header[16:18], "big")
        pages = int.from_bytes(header[28:32], "big")
        size = page_size * pages
        if path.stat().st_size < size <= MAX_PADDING * path.stat().st_size:
            file.truncate(size)
    return copy


def _rescue(damaged: Path, fresh: Path, path: Path) -> dict[str, int]:
    """Fills `fresh` with what is whole in `damaged`; returns the number of rows of each table."""
    with closing(_connect_damaged(damaged, path)) as old, closing(sqlite3.connect(fresh)) as new:
        schema.create(new)
        new.execute("BEGIN IMMEDIATE")
        tables = ("studies", "chunks", "trials", "events")
        counts = {table: _copy(old, new, table, damaged) for table in tables}
        new.commit()
    return counts


def _connect_damaged(damaged: Path, path: Path) -> sqlite3.Connection:
    try:
        schema.restore(damaged)
        with closing(connect(damaged)) as db:
            version = schema.version_of(db, path)
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path}: damaged beyond reading ({one_line(error)}); move it away to start afresh"
        ) from error
    if version != schema.VERSION:
        raise StoreError(f"{path}: damaged, and of schema {version}; move it away to start afresh")
    return connect(damaged)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str, path: Path) -> int:
    """Copies what can be read and holds its checksum; returns how many rows that were."""
    copied = 0
    for row in _readable(old, table, path):
        if _is_whole(table, row):
            marks = ", ".join("?" * len(row))
            copied += new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row).rowcount
    return copied


def _readable(db: sqlite3.Connection, table: str, path: Path) -> Iterator[tuple[Any, ...]]:
    """Rows one by one by their number, since a scan ends at the first bad page."""
    for number in range(1, _largest(db, table, path) + 1):
        try:
            row = db.execute(f"SELECT * FROM {table} WHERE number = ?", (number,)).fetchone()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            continue
        if row is not None:
            yield row


def _largest(db: sqlite3.Connection, table: str, path: Path) -> int:
    bound = path.stat().st_size // MIN_ROW_BYTES
    try:
        (largest,) = db.execute(f"SELECT max(number) FROM {table}").fetchone()
    except sqlite3.DatabaseError:
        return bound
    return min(largest or 0, bound)


def _is_whole(table: str, row: tuple[Any, ...]) -> bool:
    kinds = {"chunks": ChunkRow, "trials": TrialRow}
    return table not in kinds or is_intact(kinds[table](*row[1:]))
