"""Reads and writes rows through an open connection; damaged rows count as absent."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from lr_batch.engine import Chunk, ChunkResult
from runs.store.packing import COLUMNS, Connection, damaged_parts, packed, unpacked
from runs.store.rows import ChunkRow, EventRow, StudyRow, TrialRow, is_intact, result_of, same_outcome

TABLES = {"studies": StudyRow, "chunks": ChunkRow, "trials": TrialRow, "events": EventRow}
NAMES = {kind: table for table, kind in TABLES.items()}
Row = TypeVar("Row", StudyRow, ChunkRow, TrialRow, EventRow)


class BadRow(NamedTuple):
    """A row whose checksum does not hold: it counts as not done and is never read."""

    table: str
    number: int
    batch_size: int | None = None
    seed: int | None = None

    def __str__(self) -> str:
        of = (
            f" (batch size {self.batch_size}, seed {self.seed})" if self.table in ("chunks", "trials") else ""
        )
        return f"{self.table} row {self.number}{of} is damaged"


def read_rows(db: Connection, kind: type[Row], where: str = "", values: tuple[Any, ...] = ()) -> list[Row]:
    """Intact rows of a kind; `where` is the rest of the query."""
    return [row for row in _select(db, kind, where, values) if is_intact(row)]


def find_damage(db: Connection) -> list[BadRow]:
    return [BadRow("parts", number) for number in damaged_parts(db)] + [
        BadRow(table, number, getattr(row, "batch_size", None), getattr(row, "seed", None))
        for table, kind in TABLES.items()
        for (number,), row in zip(
            db.execute(f"SELECT number FROM {table} ORDER BY number").fetchall(),
            _select(db, kind, "ORDER BY number"),
            strict=True,
        )
        if not is_intact(row)
    ]


def latest_study(db: Connection) -> StudyRow | None:
    """The last description; None where there is none or the last is damaged, and an older one would mislead."""
    rows = _select(db, StudyRow, "ORDER BY number DESC LIMIT 1")
    return rows[0] if rows and is_intact(rows[0]) else None


def find_result(db: Connection, chunk: Chunk) -> ChunkResult | None:
    """The rows of `chunk`, whichever chunks they were accepted from; None if one is missing."""
    found = [find_trial(db, chunk.trial_hash(lane), chunk.seed) for lane in range(len(chunk.settings))]
    rows = [row for row in found if row]
    if len(rows) < len(found):
        return None
    common = find_chunk(db, chunk.id) or find_chunk(db, rows[0].chunk)
    return result_of(rows, common) if common else None


def find_trial(db: Connection, config_hash: str, seed: int) -> TrialRow | None:
    rows = read_rows(db, TrialRow, "WHERE config_hash = ? AND seed = ?", (bytes.fromhex(config_hash), seed))
    return rows[0] if rows else None


def find_chunk(db: Connection, chunk_id: str) -> ChunkRow | None:
    rows = read_rows(db, ChunkRow, "WHERE id = ?", (chunk_id,))
    return rows[0] if rows else None


def count_rows(db: Connection, kind: Any) -> int:
    return db.execute(f"SELECT count(*) FROM {NAMES[kind]}").fetchone()[0]


def accept_chunk(db: Connection, row: ChunkRow) -> None:
    """Keeps the chunk, unless it is there already."""
    if not find_chunk(db, row.id):
        add_row(db, row)


def accept_trial(db: Connection, row: TrialRow) -> str | None:
    """Keeps the trial, unless it is there already; returns the event if it was there with other numbers."""
    kept = find_trial(db, row.config_hash, row.seed)
    if not kept:
        add_row(db, row)
    elif not same_outcome(kept, row):
        return (
            f"trial {row.config_hash}, seed {row.seed}, batch size {row.batch_size}, {row.hparams} "
            f"ran again in chunk {row.chunk} and came out different; the row of chunk {kept.chunk} is kept"
        )
    return None


def _select(db: Connection, kind: Any, where: str, values: tuple[Any, ...] = ()) -> list[Any]:
    query = f"SELECT {', '.join(columns_of(kind))} FROM {NAMES[kind]} {where}"
    return [unpacked(db, kind, row) for row in db.execute(query, values)]


def columns_of(kind: Any) -> tuple[str, ...]:
    """Columns of the table of a kind, without the number."""
    return COLUMNS.get(kind, kind._fields)


def add_row(
    db: Connection, row: StudyRow | ChunkRow | TrialRow | EventRow, number: int | None = None
) -> None:
    """Adds the row, in place of a damaged one with the same identity; with a number of its own or the next."""
    columns = ("number", *columns_of(type(row)))
    marks = ", ".join("?" * len(columns))
    query = f"REPLACE INTO {NAMES[type(row)]} ({', '.join(columns)}) VALUES ({marks})"
    db.execute(query, (number, *packed(db, row)))
