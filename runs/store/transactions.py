"""Reading and writing the file of a store from any thread: one lock, and transactions that are whole or not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from runs.store.connection import as_store_error
from runs.store.errors import StoreError
from runs.store.packing import Connection


class Transactions:
    """What SQLite says becomes a `StoreError` of one line with the path.

    Args:
      path: of the file.
      db: the connection to it.
      read_only: refuse to write.
    """

    def __init__(self, path: Path, db: Connection, *, read_only: bool):
        self._path, self._db, self._read_only = path, db, read_only
        self._lock = threading.RLock()  # a reader may read again what it needs
        self._file = _file_at(path)

    @contextmanager
    def reading(self) -> Generator[None, None, None]:
        with self._lock, as_store_error(self._path):
            yield

    @contextmanager
    def writing(self) -> Generator[None, None, None]:
        """One transaction: all of it survives from here on, or nothing of it happened."""
        self.refuse_if_read_only()
        with self._lock, as_store_error(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.check_file()
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite ends it by itself when the disk is full
                    self._db.execute("ROLLBACK")
                self._db.forget()
                raise

    def refuse_if_read_only(self) -> None:
        if self._read_only:
            raise StoreError(f"{self._path}: opened read-only")

    def check_file(self) -> None:
        """Raises where what is written goes to a file that nobody will find."""
        if _file_at(self._path) != self._file:
            raise StoreError(
                f"{self._path}: was deleted or replaced while this run wrote to it, and what it finished is "
                "lost; the same command begins anew"
            )


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file has this name at the moment."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
