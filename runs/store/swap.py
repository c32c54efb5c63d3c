"""Puts a new SQLite file in the place of an old one without losing either."""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path

from runs.write import sync_folder


def swap(path: Path, replacement: Path, label: str) -> Path:
    """`replacement`, complete and closed, becomes `path`; the old file is kept under the returned name.

    The old file's log must move before: SQLite would replay it into the new file.
    """
    kept = next(name for name in _names(path, label) if not os.path.lexists(name))
    _copy(path, kept)
    _log(path, "-shm").unlink(missing_ok=True)
    if _log(path, "-wal").exists():
        os.replace(_log(path, "-wal"), _log(kept, "-wal"))
    sync_folder(replacement)
    os.replace(replacement, path)
    sync_folder(path.parent)
    return kept


def _copy(path: Path, kept: Path) -> None:
    """To a name that was free: one that somebody lays there in the meantime is not followed."""
    with open(path, "rb") as old, open(kept, "xb") as new:
        shutil.copyfileobj(old, new)
    shutil.copystat(path, kept)


def _names(path: Path, label: str):
    return (path.with_name(f"{path.name}.{label}-{number}") for number in count(1))


def _log(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
