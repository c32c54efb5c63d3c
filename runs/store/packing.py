"""Rows as the file keeps them: what many rows have in common is kept apart, once, and a curve is compressed.

A packed row still has the checksum of the whole one, which is taken after it was unpacked: whatever is damaged on the
way, a part that it shares included, the row counts as absent. Shared parts are the few bytes by which much could be
lost, so each is in two tables, on different pages.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import struct
import zlib
from functools import lru_cache
from typing import Any

import numpy as np

from lr_batch import BUDGET, DIVERGED, REACHED
from runs.store.rows import ChunkRow, Row, TrialRow

PARTS = ("parts", "parts_again")  # two copies of the same
MAX_CURVE = 2**26  # bytes
MAX_PARTS = 100_000  # looked for one by one in a damaged table; a large study has some thousands
STATUS = (REACHED, BUDGET, DIVERGED)
COLUMNS = {
    TrialRow: (
        *(
            "config_hash",
            "seed",
            "chunk",
            "lane",
            "batch_size",
            "hparams",
            "steps_to_goal",
            "steps",
            "status",
        ),
        *("cadence", "curve", "maker", "checksum"),
    ),
    ChunkRow: ("id", "identity", "batch_size", "seed", "seconds", "events", "checksum"),
}


class Connection(sqlite3.Connection):
    """A connection that remembers the shared parts of its file, until it is told to forget them."""

    _parts: dict[int, bytes] | None = None
    _numbers: dict[bytes, int]

    def part(self, number: int) -> bytes:
        """A shared part; KeyError where neither copy is whole."""
        if self._parts is None or number not in self._parts:
            self._read()
        return self._known[number]

    def number_of(self, value: bytes) -> int:
        """The number of a shared part, which is added where it is new: within the caller's transaction."""
        if self._parts is None:
            self._read()
        if value not in self._numbers:
            number = max(self._known, default=0) + 1
            write_part(self, number, value)
            self._known[number], self._numbers[value] = value, number
        return self._numbers[value]

    def forget(self) -> None:
        """After a transaction that was taken back, some parts are not there."""
        self._parts = None

    @property
    def _known(self) -> dict[int, bytes]:
        return self._parts if self._parts is not None else {}

    def _read(self) -> None:
        copies = [whole_parts(self, table) for table in PARTS]
        self._parts = copies[1] | copies[0]
        self._numbers = {value: number for number, value in self._parts.items()}


def connected(path: Any, **options: Any) -> Connection:
    return sqlite3.connect(path, factory=Connection, **options)


def whole_parts(db: sqlite3.Connection, table: str) -> dict[int, bytes]:
    """The parts in one of the tables whose digest holds; of a damaged table those that can be read."""
    query, rows = f"SELECT number, value, digest FROM {table}", []
    try:
        rows = db.execute(query).fetchall()
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_ERROR:  # somebody has removed the table; the other one may be whole
            return {}
        if code != sqlite3.SQLITE_CORRUPT:
            raise
        for number in range(1, MAX_PARTS):
            with contextlib.suppress(sqlite3.DatabaseError):
                rows += db.execute(f"{query} WHERE number = ?", (number,)).fetchall()
    return {n: value for n, value, digest in rows if isinstance(value, bytes) and digest == _digest(value)}


def write_part(db: sqlite3.Connection, number: int, value: bytes) -> None:
    for table in PARTS:
        db.execute(f"REPLACE INTO {table} VALUES (?, ?, ?)", (number, value, _digest(value)))


def damaged_parts(db: Connection) -> list[int]:
    """Numbers of the parts of which one copy is damaged or lost; rows that need both are damaged themselves."""
    listed = {n for table in PARTS for (n,) in db.execute(f"SELECT number FROM {table}")}
    one, other = (whole_parts(db, table) for table in PARTS)
    return sorted(n for n in listed if one.get(n) is None or one.get(n) != other.get(n))


def mend_parts(db: Connection) -> None:
    """Writes both copies of a part of which one is whole, and removes one that is lost: its rows are, too."""
    for number in damaged_parts(db):
        try:
            write_part(db, number, db.part(number))
        except KeyError:
            for table in PARTS:
                db.execute(f"DELETE FROM {table} WHERE number = ?", (number,))


def packed(db: Connection, row: Row) -> tuple[Any, ...]:
    """The columns of a row in its table."""
    if isinstance(row, ChunkRow):
        return tuple(row._replace(identity=db.number_of(row.identity.encode())))  # pyright: ignore[reportArgumentType]
    if not isinstance(row, TrialRow):
        return tuple(row)
    names, values = _packed_hparams(row.hparams)
    maker = [names, row.width, row.device, row.precision, row.versions]
    return (
        *(
            bytes.fromhex(row.config_hash),
            row.seed,
            bytes.fromhex(row.chunk),
            row.lane,
            row.batch_size,
            values,
        ),
        *(row.steps_to_goal, row.steps, STATUS.index(row.status), db.number_of(row.eval_steps)),
        *(_compressed(row.curve), db.number_of(json.dumps(maker).encode()), bytes.fromhex(row.checksum)),
    )


def unpacked(db: Connection, kind: type[Row], columns: tuple[Any, ...]) -> Row:
    """The row of the columns; one whose checksum does not hold where they are damaged."""
    try:
        if kind is TrialRow:
            return _trial(db, *columns)
        if kind is ChunkRow:
            row = ChunkRow(*columns)
            return row._replace(identity=db.part(int(row.identity)).decode())
        return kind(*columns)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error, zlib.error):
        return _damaged(kind, columns)


def _trial(
    db: Connection,
    config_hash: bytes,
    seed: int,
    chunk: bytes,
    lane: int,
    batch_size: int,
    values: Any,
    *rest: Any,
) -> TrialRow:
    steps_to_goal, steps, status, cadence, curve, maker, checksum = rest
    names, width, device, precision, versions = _loaded(db.part(maker))
    return TrialRow(
        *(config_hash.hex(), seed, chunk.hex(), lane, batch_size, _unpacked_hparams(names, values)),
        *(steps_to_goal, steps, STATUS[status], db.part(cadence), _decompressed(curve)),
        *(width, device, precision, versions, checksum.hex()),
    )


def _damaged(kind: type[Row], columns: tuple[Any, ...]) -> Row:
    """A row that is not intact, with what a message about it needs."""
    if kind is TrialRow:
        empty = dict.fromkeys(TrialRow._fields, "")
        said = dict(zip(COLUMNS[TrialRow], columns, strict=True))
        kept = {name: said[name] for name in ("batch_size", "seed") if isinstance(said[name], int)}
        return TrialRow(**{**empty, **kept})
    return kind(*columns[:-1], "")


def _packed_hparams(text: str) -> tuple[tuple[str, ...] | None, bytes]:
    """Names, and values as eight bytes each; no names and the text itself where that would not bring it back."""
    hparams = json.loads(text)
    names, values = tuple(hparams), struct.pack(f"<{len(hparams)}d", *hparams.values())
    return (names, values) if _unpacked_hparams(names, values) == text else (None, text.encode())


@lru_cache(100_000)
def _unpacked_hparams(names: tuple[str, ...] | None, values: bytes) -> str:
    """Settings come again for every seed."""
    if names is None:
        return values.decode()
    return json.dumps(dict(zip(names, struct.unpack(f"<{len(names)}d", values), strict=True)))


@lru_cache(1000)
def _loaded(maker: bytes) -> tuple[Any, ...]:
    names, *rest = json.loads(maker)
    return (names and tuple(names), *rest)


def _compressed(curve: bytes) -> bytes:
    """Float32 values byte by byte: the first bytes of neighbours are alike, and those of lanes that have ended."""
    planes = b"".join(curve[i::4] for i in range(4))
    return zlib.compress(planes if len(curve) % 4 == 0 else curve, 6)


def _decompressed(packed: bytes) -> bytes:
    data = zlib.decompressobj().decompress(packed, MAX_CURVE)
    if len(data) % 4:
        return data
    return np.frombuffer(data, np.uint8).reshape(4, -1).T.tobytes()


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=8).digest()
