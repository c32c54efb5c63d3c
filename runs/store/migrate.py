"""Brings a store of an older version up to date, on a copy."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from runs.store import schema
from runs.store.connection import connect
from runs.store.swap import swap


def migrate(path: Path, version: int) -> None:
    """Migrates a copy of the store and puts it in place; the original stays beside it.

    A crash or an error before the last step leaves the original as it was.
    """
    copy = path.with_name(f"{path.name}.migrating")
    copy.unlink(missing_ok=True)
    with closing(connect(path)) as old, closing(sqlite3.connect(copy)) as new:
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        old.backup(new)
        for step in range(version, schema.VERSION):
            schema.run_script(new, schema.MIGRATIONS[step], step + 1)
    kept = swap(path, copy, f"schema-{version}")
    with closing(connect(path)) as db:
        event = f"store migrated from schema {version} to {schema.VERSION}; the original is {kept.name}"
        db.execute("INSERT INTO events (event) VALUES (?)", (event,))
