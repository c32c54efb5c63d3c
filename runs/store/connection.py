"""Connections to the SQLite file of a store, and what SQLite says, in one line."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from runs.file_system import file_system, is_network
from runs.store.errors import BadFolder, StoreError
from runs.store.packing import Connection, connected

LONGEST = 512 - len("-journal")  # bytes of a path that SQLite opens


@contextmanager
def as_store_error(path: Path) -> Generator[None, None, None]:
    """What SQLite and the file system have to say, as one line with the path."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {one_line(error)}{_need(error)}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def one_line(error: Exception) -> str:
    """SQLite quotes a damaged schema with its line breaks."""
    return " ".join(str(error).split())


def _need(error: sqlite3.Error) -> str:
    if primary_code(error) == sqlite3.SQLITE_FULL:
        return "; nothing finished is lost: free some space and run the same command again"
    if is_damage(error):
        return "; the file is damaged: run the study again to rescue its rows"
    return ""


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension; 0 where the error is Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def check_length(path: Path) -> None:
    """SQLite would say of a long path that it is unable to open it."""
    length = len(os.fsencode(path.absolute()))
    if length > LONGEST:
        raise BadFolder(
            f"{path}: a path of {length} bytes is more than the {LONGEST} that SQLite takes; name a shorter folder"
        )


def is_damage(error: sqlite3.Error) -> bool:
    return primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def connect(path: Path, *, read_only: bool = False, full_sync: bool = True) -> Connection:
    """A connection in autocommit mode, for any thread, that runs nothing a file's schema asks for."""
    query = "mode=ro" if read_only else "mode=rwc"
    if read_only and _is_quiet(path):
        query += "&immutable=1"  # without this, SQLite wants to create files beside the store
    uri = f"{path.absolute().as_uri()}?{query}"
    db = connected(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        shared_log = read_only or not is_network(file_system(path.parent))
        configure(db, read_only=read_only, full_sync=full_sync, shared_log=shared_log)
    except BaseException:
        db.close()
        raise
    return db


def configure(
    db: sqlite3.Connection, *, read_only: bool, full_sync: bool = True, shared_log: bool = True
) -> None:
    db.text_factory = _text
    db.execute("PRAGMA trusted_schema = OFF")
    if read_only:
        return
    db.execute(f"PRAGMA journal_mode = {'WAL' if shared_log else 'DELETE'}")
    db.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
    db.execute(f"PRAGMA fullfsync = {int(full_sync)}")  # macOS: fsync alone leaves data in the drive


def _text(raw: bytes) -> str:
    """Damaged text must reach its checksum instead of raising."""
    return raw.decode(errors="replace")


def _is_quiet(path: Path) -> bool:
    """Whether nobody can be writing: the folder is read-only for us and no log is pending."""
    writable = os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    return not writable and not path.with_name(path.name + "-wal").exists()
