"""Entries of the compilation cache that are as they were written.

A compiled program is run as it is: one flipped bit in it is a crash at every run. Each entry of JAX's cache therefore
has a hash beside it, taken when the run that made it ended. Entries that differ from theirs, or have none, are removed
before JAX looks: they are compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import IO

HASHES, LOCK = "hashes", "lock"
ENTRIES = "*-cache"  # as JAX names them


class CheckedEntries:
    """The entries in `folder`, which this process may read and add to until `sign`."""

    def __init__(self, folder: Path):
        self.folder, self.hashes = folder, folder / HASHES
        self.hashes.mkdir(exist_ok=True)
        self._lock, alone = _shared_lock(folder / LOCK)
        for entry in folder.glob(ENTRIES):
            known = self._known(entry)
            # Another process signs what it has made when it ends.
            if (known is None and alone) or (known is not None and known != _hash(entry)):
                entry.unlink(missing_ok=True)
                self._note(entry).unlink(missing_ok=True)

    def sign(self) -> None:
        """Writes the hashes of entries that have none. A hash that is not written costs a compilation."""
        with contextlib.suppress(OSError):
            for entry in self.folder.glob(ENTRIES):
                if self._known(entry) is None:
                    self._note(entry).write_text(_hash(entry))
        self._lock.close()

    def _note(self, entry: Path) -> Path:
        return self.hashes / entry.name

    def _known(self, entry: Path) -> str | None:
        try:
            return self._note(entry).read_text()
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return ""  # the hash of nothing


def _hash(entry: Path) -> str:
    with entry.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shared_lock(path: Path) -> tuple[IO[bytes], bool]:
    """A lock that lasts as long as the file is open, and whether no other process had it at first."""
    import fcntl

    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except BlockingIOError:
        alone = False
    fcntl.flock(file, fcntl.LOCK_SH)
    return file, alone
