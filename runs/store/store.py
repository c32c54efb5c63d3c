"""The results of a study in a folder: what was reported done survives, and is done once."""

from __future__ import annotations

import json
import os
import sqlite3
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lr_batch.engine import Checkpoint, Chunk, ChunkResult
from runs.store.checkpoint import clear_unfinished, discard_checkpoint, load_checkpoint, save_checkpoint
from runs.store.connection import as_store_error
from runs.store.contents import Contents
from runs.store.database import NAME, open_database, open_for_reading
from runs.store.errors import StudyChanged
from runs.store.lease import Lease
from runs.store.packing import mend_parts
from runs.store.probe import probe
from runs.store.records import (
    accept_chunk,
    accept_trial,
    add_row,
    count_rows,
    find_chunk,
    find_result,
)
from runs.store.rows import (
    ChunkRow,
    TrialRow,
    check_result,
    chunk_row,
    event_row,
    study_row,
    trial_row,
)
from runs.store.study import (
    Description,
    beyond_extension,
    difference,
    identity_part,
)
from runs.store.transactions import Transactions
from runs.write import sweep


class Store(Contents):
    """Keeps the chunks of one study in `directory`, as a `lr_batch.engine.chunk.ChunkStore`.

    One process writes, with any number of threads; readers never block it. Rows are checked
    against their checksum whenever they are read. Everything stays inside `directory`, under
    names that are hashes or fixed, and nothing that is read from it is executed.

    Args:
      directory: made if it is not there (by a writer).
      read_only: take no lease, change nothing.
      full_sync: a saved chunk survives power loss and not only the end of the process.

    Attributes:
      damage: what a reader could not read of the file, in one line, or None. A writer has repaired it.

    Raises:
      StoreInUse: another process writes to `directory`.
      StoreError: the folder or the file in it cannot be used; one line with path and need.
    """

    def __init__(self, directory: str | os.PathLike[str], *, read_only: bool = False, full_sync: bool = True):
        self.directory = Path(directory)
        self.read_only = read_only
        self._path = self.directory / NAME
        lease = None if read_only else self._take_lease()
        try:
            self.damage: str | None = None
            if read_only:
                self._db, self.damage = open_for_reading(self.directory)
            else:
                self._db = open_database(self.directory, full_sync=full_sync)
        except BaseException:
            if lease:
                lease.release()
            raise
        self._finalizer = weakref.finalize(self, _close, self._db, lease, os.getpid())
        self._file = Transactions(self._path, self._db, read_only=read_only)
        if lease:
            self._clear_leftovers()
            with self._file.writing():
                mend_parts(self._db)
        if lease and lease.previous:
            self.record(f"taken over from {lease.previous}, which ended without closing the store")

    def _take_lease(self) -> Lease:
        probe(self.directory)
        return Lease(self.directory)

    def close(self) -> None:
        """Closes the file and releases the folder; also done when the process ends."""
        self._finalizer()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None and not self.read_only:
                self._file.check_file()
        finally:
            self.close()

    def load(self, chunk: Chunk) -> ChunkResult | Checkpoint | None:
        """The rows of `chunk` if all are there and intact, else its lanes, else None.

        A `Checkpoint` comes back with the list of leaves as its `carry`, as NumPy arrays in the order of
        `jax.tree.leaves`: the structure is not stored, since nothing that a file says is executed.
        The engine restores it with `jax.tree.unflatten(jax.tree.structure(own_carry), leaves)`.
        """
        with self._file.reading():
            result = find_result(self._db, chunk)
        return load_checkpoint(self._lanes_folder(chunk)) if result is None else result

    def save(self, chunk: Chunk, outcome: ChunkResult | Checkpoint) -> None:
        """Returns when `outcome` would survive a crash. Any thread may call it.

        Rows go in together or not at all. A trial that is there already is left as it was, and
        differing numbers for it become an event; a damaged row is replaced.
        """
        self._file.refuse_if_read_only()
        folder = self._lanes_folder(chunk)
        with as_store_error(folder):
            if isinstance(outcome, Checkpoint):
                save_checkpoint(folder, outcome)
                return
            self._save_rows(chunk, outcome)
            discard_checkpoint(folder)

    def _save_rows(self, chunk: Chunk, result: ChunkResult) -> None:
        check_result(chunk, result)
        rows = [trial_row(chunk, result, lane) for lane in range(len(chunk.settings))]
        with self._file.writing():
            accept_chunk(self._db, chunk_row(chunk, result))
            for event in filter(None, [accept_trial(self._db, row) for row in rows]):
                self._add_event(event)

    def adopt(self, chunks: Iterable[ChunkRow], rows: Sequence[TrialRow]) -> int:
        """Takes over rows of another store of the same study, all or none; returns how many trials were new."""
        with self._file.writing():
            before = count_rows(self._db, TrialRow)
            for chunk in chunks:
                accept_chunk(self._db, chunk)
            for event in filter(None, [accept_trial(self._db, row) for row in rows]):
                self._add_event(event)
            return count_rows(self._db, TrialRow) - before

    def describe(
        self, study: Mapping[str, Any], *, kind: str = "curve", command: str = "", extend: bool = False
    ) -> None:
        """Says which study the folder is for; the same study again changes nothing but the command.

        A description that was lost is proved by the identities of the chunks, and written again.

        Args:
          study: all that decides its numbers, JSON-like.
          kind: name of the command.
          command: as it was typed.
          extend: the grid (`space`, `batch_sizes`, `seeds`) may change: the rows are kept and the change
            becomes an event.

        Raises:
          StudyChanged: another study is there.
        """
        new = json.loads(json.dumps(study, allow_nan=False))
        with self._file.writing():
            self._accept_study(Description(kind, new, command), self.description, extend)

    def _accept_study(self, new: Description, known: Description | None, extend: bool) -> None:
        if known and known.kind and known.kind != new.kind:
            raise StudyChanged(
                f"{self.directory}: holds results of lr-batch {known.kind}, not {new.kind}; name another folder"
            )
        before = known.study if known else new.study
        lost = known is not None and not known.kind
        changes = difference(before, identity_part(new.study) if lost else new.study)
        if changes:
            self._refuse_or_record(changes, extend)
        if lost and not changes:
            self._add_event("the study's description was lost; its chunks prove that it is this one")
        if changes or lost or known is None or (new.command and new.command != known.command):
            add_row(self._db, study_row(new.kind, new.study, new.command))

    def record(self, event: str) -> None:
        """Adds an event."""
        with self._file.writing():
            self._add_event(event)

    def _lanes_folder(self, chunk: Chunk) -> Path:
        return self.directory / "lanes" / chunk.id

    def _refuse_or_record(self, changes: Mapping[str, str], extend: bool) -> None:
        listing = "; ".join(f"{name}: {change}" for name, change in changes.items())
        foreign = beyond_extension(changes)
        if foreign:
            raise StudyChanged(f"{self.directory}: holds another study ({listing}); name another folder")
        if not extend:
            raise StudyChanged(
                f"{self.directory}: the study changed ({listing}); extend it (--add) or name another folder"
            )
        self._add_event(f"study extended: {listing}")

    def _add_event(self, event: str) -> None:
        add_row(self._db, event_row(event))

    def _clear_leftovers(self) -> None:
        """Removes what a run that was killed has left half written, and lanes whose rows are safe."""
        sweep(self.directory)
        for folder in (self.directory / "lanes").glob("*"):
            with as_store_error(folder):
                clear_unfinished(folder)
                if find_chunk(self._db, folder.name):
                    discard_checkpoint(folder)


def _close(db: sqlite3.Connection, lease: Lease | None, pid: int) -> None:
    if os.getpid() != pid:  # a forked child: the file and the folder are its parent's
        return
    db.close()
    if lease:
        lease.release()
