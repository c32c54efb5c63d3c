"""Lets one process at a time write to a folder."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from runs.process import Owner, is_alive, this_process
from runs.store.connection import one_line, primary_code
from runs.store.errors import StoreError, StoreInUse

NAME = "lease.sqlite"
TABLE = (
    "CREATE TABLE IF NOT EXISTS lease (one INTEGER PRIMARY KEY CHECK (one = 1), "
    "pid INTEGER NOT NULL, started TEXT NOT NULL, host TEXT NOT NULL, since TEXT NOT NULL)"
)


def _is_owner(row: tuple[Any, ...]) -> bool:
    """Whether the types are those of an owner: a flipped bit may have changed them."""
    return isinstance(row[0], int) and all(isinstance(column, str) for column in row[1:])


class Lease:
    """The right to write to `directory`, held until `release` or the end of the process.

    The owner is a row of a small SQLite file, and a transaction that stays open over it is a
    lock that the operating system drops when the process dies. A folder is in use while either
    the lock is held or the recorded process lives; otherwise the lease passes to the next process that asks.

    Attributes:
      previous: the dead owner from whom the lease was taken over, or None.
    """

    def __init__(self, directory: Path):
        self._path = directory / NAME
        try:
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=1)
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            self.previous = self._acquire()
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable(error) from error
        except BaseException:
            self._db.close()
            raise

    def _unusable(self, error: sqlite3.Error) -> StoreError:
        wanted = "a file of lr-batch's own belongs there: delete what there is if nobody uses the folder"
        return StoreError(f"{self._path}: {one_line(error)}; {wanted}")

    def _acquire(self) -> Owner | None:
        self._lock()
        self._db.execute(TABLE)
        previous, own = self._owner(), this_process()
        if previous and previous[:3] == own[:3]:
            previous = None  # our own, left by a release on a full disk
        if previous and is_alive(previous):
            raise self._in_use(previous)
        self._db.execute("REPLACE INTO lease VALUES (1, ?, ?, ?, ?)", own)
        self._db.execute("COMMIT")
        self._lock()
        return previous

    def _lock(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY:
                raise
            raise self._in_use(self._owner()) from error

    def _owner(self) -> Owner | None:
        row = self._db.execute("SELECT pid, started, host, since FROM lease").fetchone()
        return Owner(*row) if row and _is_owner(row) else None

    def _in_use(self, owner: Owner | None) -> StoreInUse:
        return StoreInUse(f"{self._path.parent}: in use by {owner or 'another process'}")

    def release(self) -> None:
        """Releases the folder; on a full disk the row stays and only the lock goes."""
        with closing(self._db), suppress(sqlite3.Error):
            self._db.execute("DELETE FROM lease")
            self._db.execute("COMMIT")
