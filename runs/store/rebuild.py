"""Builds a store again from the rows of a file that is damaged or of an older version."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from optim.names import counted
from runs.store import schema
from runs.store.connection import connect, is_damage, one_line, primary_code
from runs.store.errors import StoreError
from runs.store.packing import Connection, connected, unpacked
from runs.store.records import TABLES, add_row, find_chunk, find_trial
from runs.store.rows import ChunkRow, EventRow, StudyRow, TrialRow, event_row, is_intact, study_row
from runs.store.swap import swap

MIN_ROW_BYTES = 16  # bounds the row numbers of a file that cannot tell its largest
MAX_PADDING = 1000  # a header that says more is damaged itself
SCRATCH = ".salvage-"

Counts = dict[str, int]


def salvage(path: Path) -> None:
    """Moves every row whose checksum holds to a new store; the damaged file stays beside it.

    What could not be rescued counts as not done, and runs again.
    """
    said = "the store was damaged: rescued {}, what is missing runs again; the damaged file is"
    _replace(path, "damaged", said)


def migrate(path: Path, version: int) -> None:
    """Brings a store of an older version up to date; the original stays beside it.

    A crash or an error before the last step leaves the original as it was.
    """
    said = f"store migrated from schema {version} to {schema.VERSION}; the original is"
    _replace(path, f"schema-{version}", said)


def what_is_kept(counts: Counts) -> str:
    return f"{counted(counts['trials'], 'trial')} of {counted(counts['chunks'], 'chunk')}"


def _replace(path: Path, label: str, said: str) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=SCRATCH) as scratch:
        fresh = Path(scratch, "fresh.sqlite")
        counts = _rescue(_padded_copy(path, Path(scratch)), fresh, path)
        kept = swap(path, fresh, label)
    with closing(connect(path)) as db:
        add_row(db, event_row(f"{said.format(what_is_kept(counts))} {kept.name}"))


def in_memory(path: Path) -> tuple[Connection, Counts]:
    """What can be read of the file, for a reader, who changes nothing; and how many rows that is."""
    with tempfile.TemporaryDirectory(prefix="lr-batch-") as scratch:
        fresh = Path(scratch, "fresh.sqlite")
        counts = _rescue(_padded_copy(path, Path(scratch)), fresh, path)
        memory = connected(":memory:", isolation_level=None, check_same_thread=False)
        with closing(sqlite3.connect(fresh)) as db:
            db.backup(memory)
    return memory, counts


def _padded_copy(path: Path, folder: Path) -> Path:
    """A copy as long as its header says: SQLite reads nothing of a file that is too short."""
    copy = folder / path.name
    for name in (path.name, f"{path.name}-wal"):
        if path.with_name(name).exists():
            shutil.copy(path.with_name(name), folder)
    copy.chmod(0o600)
    with open(copy, "r+b") as file:
        header = file.read(32)
        page_size = int.from_bytes(header[16:18], "big")
        pages = int.from_bytes(header[28:32], "big")
        size = page_size * pages
        if path.stat().st_size < size <= MAX_PADDING * path.stat().st_size:
            file.truncate(size)
    return copy


def _rescue(damaged: Path, fresh: Path, path: Path) -> Counts:
    """Fills `fresh` with what is whole in `damaged`; returns the number of rows of each table."""
    old, version = _connect_damaged(damaged, path)
    with closing(old), closing(connected(fresh)) as new:
        schema.create(new)
        new.execute("BEGIN IMMEDIATE")
        counts = {table: _copy(old, new, table, damaged, version) for table in TABLES}
        new.commit()
    return counts


def _connect_damaged(damaged: Path, path: Path) -> tuple[Connection, int]:
    try:
        version = _version(damaged, path)
        schema.restore(damaged, version)
        with closing(connect(damaged)) as db:
            schema.version_of(db, path)
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path}: damaged beyond reading ({one_line(error)}); move it away to start afresh"
        ) from error
    return connect(damaged), version


def _version(damaged: Path, path: Path) -> int:
    """By the tables where they are whole, else by the header, else the present one."""
    with closing(sqlite3.connect(damaged)) as db:
        db.execute("PRAGMA writable_schema = ON")  # lets SQLite open a file whose definitions are damaged
        with suppress(sqlite3.DatabaseError):
            return schema.version_of(db, path) or schema.VERSION
        header = schema.header_version(db)
    return header if header in schema.TABLES else schema.VERSION


def _copy(old: Connection, new: Connection, table: str, path: Path, version: int) -> int:
    """Copies the rows that can be read and whose checksum holds; returns their number."""
    copied, kind = 0, TABLES[table]
    for number, *columns in _readable(old, table, path):
        row = _present(old, kind, columns, version)
        if row is not None and is_intact(row) and not _is_there(new, row):
            add_row(new, row, number)
            copied += 1
    return copied


def _is_there(new: Connection, row: Any) -> bool:
    """Whether another row has its identity: damage can make two of one."""
    if isinstance(row, TrialRow):
        return find_trial(new, row.config_hash, row.seed) is not None
    return isinstance(row, ChunkRow) and find_chunk(new, row.id) is not None


def _present(old: Connection, kind: type, columns: list[Any], version: int) -> Any:
    """A row of an older or the present version; None for what cannot be read."""
    if version == schema.VERSION:
        return unpacked(old, kind, tuple(columns))
    if version == 1 and kind is StudyRow:
        return _described(*columns)
    if version == 1 and kind is EventRow:
        return event_row(str(columns[0]))
    return kind(*columns)


def _described(description: Any) -> StudyRow | None:
    """Version 1 held curves and searches, without the command and without checksums."""
    try:
        study = json.loads(description)
    except (TypeError, ValueError):
        return None
    if not isinstance(study, dict):
        return None
    return study_row("tune" if "search" in study else "curve", study, "")


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
    except sqlite3.DatabaseError as error:
        # SQLite's general error: somebody has removed the table.
        return 0 if primary_code(error) == sqlite3.SQLITE_ERROR else bound
    return min(largest or 0, bound)
