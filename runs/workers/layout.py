"""The folders inside a folder of workers: made where they are missing, refused where they are somebody else's."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from runs.workers import documents
from runs.workers.errors import Damaged, NotAWorkFolder

FORMAT = 1
MARKER = "lr-batch-workers.json"
CHUNKS, CLAIMS, RESULTS, DEAD = "chunks", "claims", "results", "dead"
LANES, ENDS, WORKERS = "lanes", "ends", "workers"
FOLDERS = (CHUNKS, CLAIMS, RESULTS, DEAD, LANES, ENDS, WORKERS)
# Others may be making the same folder at this moment, and its marker, or look whether it is writable.
BEING_MADE = re.compile(rf"\.lr-batch-|\.[0-9a-f]+{re.escape(documents.UNFINISHED)}$")


def prepare(path: Path) -> None:
    """Makes the folders that are not there.

    Raises:
      NotAWorkFolder: it holds something else, is of a newer version, or anybody may write to it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        _refuse_strangers(path)
        for name in FOLDERS:
            (path / name).mkdir(exist_ok=True)
        if not (path / MARKER).exists():
            documents.write_surely(path / MARKER, {"format": FORMAT})
    except OSError as error:
        raise NotAWorkFolder(
            f"{path}: {error.strerror or error}; a writable folder that all workers see is needed"
        ) from error


def _refuse_strangers(path: Path) -> None:
    for folder in (path, *(path / name for name in FOLDERS)):
        if folder.exists() and folder.stat().st_mode & stat.S_IWOTH:
            raise NotAWorkFolder(
                f"{folder}: everybody may write to it, and what is in it names code to run; chmod o-w it"
            )
    if not (path / MARKER).exists():
        foreign = [name for name in os.listdir(path) if name not in FOLDERS and not BEING_MADE.match(name)]
        if foreign:
            raise NotAWorkFolder(f"{path}: holds {foreign[0]}, no chunks for workers; name an empty folder")
        return
    try:
        found = documents.read(path / MARKER).get("format")
    except Damaged:
        found = FORMAT  # its names say enough
    if found != FORMAT:
        raise NotAWorkFolder(
            f"{path}: of format {found}, this lr-batch knows {FORMAT}; take the same everywhere"
        )
