"""What a store holds, for whoever reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lr_batch import Trial
from runs.store.errors import StoreError
from runs.store.packing import STATUS, Connection
from runs.store.records import BadRow, find_damage, latest_study, read_rows
from runs.store.rows import ChunkRow, EventRow, TrialRow, trial_of
from runs.store.study import Description, agree, belonging, described, identity_of, proved
from runs.store.transactions import Transactions


class Contents:
    """Rows that are whole, in an order that does not depend on when they came."""

    _db: Connection
    _file: Transactions
    _path: Path

    @property
    def description(self) -> Description | None:
        """What the folder is for, None where nothing says it; by its chunks where the description was lost.

        Raises:
          StoreError: the description was lost, and there are chunks of several studies.
        """
        with self._file.reading():
            row, chunks = latest_study(self._db), read_rows(self._db, ChunkRow)
        known = described(row) if row else None
        if known and (not chunks or any(agree(identity_of(chunk.identity), known.study) for chunk in chunks)):
            return known
        studies = proved(chunks)
        if len(studies) > 1:
            raise StoreError(f"{self._path}: its description is damaged, and it holds {len(studies)} studies")
        return Description("", studies[0]) if studies else None

    @property
    def events(self) -> tuple[str, ...]:
        """What happened to the store, oldest first; events of a chunk are in its row."""
        with self._file.reading():
            return tuple(row.event for row in read_rows(self._db, EventRow, "ORDER BY number"))

    def trials(self) -> Iterator[Trial]:
        """All intact trials of the study, by batch size and seed, then chunk and lane: in no order of arrival."""
        return map(trial_of, self.trial_rows())

    def trial_rows(self) -> list[TrialRow]:
        """The same as they are stored, with hash, width, device, precision and versions."""
        with self._file.reading():
            rows = self._trials_in_order()
            known, chunks = self.description, read_rows(self._db, ChunkRow)
        return belonging(rows, chunks, known.study) if known else rows

    @property
    def device(self) -> str | None:
        """Kind of device of the first trial; None where there is none."""
        with self._file.reading():
            rows = read_rows(self._db, TrialRow, "ORDER BY number LIMIT 1")
        return rows[0].device if rows else None

    def tally(self) -> tuple[dict[str, int], int]:
        """Trials by what became of them, and the number of chunks: counted, not checked."""
        with self._file.reading():
            counts = self._db.execute("SELECT status, count(*) FROM trials GROUP BY status ORDER BY status")
            trials = {STATUS[number]: count for number, count in counts if number in range(len(STATUS))}
            return trials, self._db.execute("SELECT count(*) FROM chunks").fetchone()[0]

    def size(self) -> int:
        """Bytes of all pages, also of those that are still in the log."""
        with self._file.reading():
            pages, size = (
                self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
            )
        return pages * size

    def curve_bytes(self) -> int:
        """Bytes that the curves take."""
        with self._file.reading():
            return self._db.execute("SELECT coalesce(sum(length(curve)), 0) FROM trials").fetchone()[0]

    def _trials_in_order(self) -> list[TrialRow]:
        """Sorted here: an index would take a tenth of the file."""
        rows = read_rows(self._db, TrialRow, "ORDER BY number")
        return sorted(rows, key=lambda row: (row.batch_size, row.seed, row.chunk, row.lane))

    def strangers(self) -> list[TrialRow]:
        """Intact trials that are of another study than the one described."""
        with self._file.reading():
            rows = self._trials_in_order()
        own = {row.checksum for row in self.trial_rows()}
        return [row for row in rows if row.checksum not in own]

    def chunks(self) -> list[ChunkRow]:
        """All intact chunk rows, by batch size, seed and id."""
        with self._file.reading():
            return read_rows(self._db, ChunkRow, "ORDER BY batch_size, seed, id")

    def verify(self) -> list[BadRow]:
        """Rows that are damaged; their chunks run again."""
        with self._file.reading():
            return find_damage(self._db)
