"""Who is alive: a worker's heartbeat, and how a study that waits for it reads it.

No clock of one machine is compared with one of another: the study only looks whether the heartbeat has changed, and
counts on its own monotonic clock since when it has not.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any

from runs.process import Owner, has_ended, this_process
from runs.workers import documents
from runs.workers.folder import WorkFolder

BEAT_SECONDS = 5.0
PATIENCE = 60.0  # seconds without a heartbeat; file systems over a network show a change after up to 60


class Pulse:
    """The heartbeat of this process as long as it is open; use it as a context manager.

    Attributes:
      token: the name of this worker.
    """

    def __init__(self, folder: WorkFolder, about: Mapping[str, Any], seconds: float = BEAT_SECONDS):
        self.token = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._path, self._seconds = folder.worker_file(self.token), seconds
        self._about = {**about, **this_process()._asdict()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Pulse:
        self.say({})
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    @property
    def claim(self) -> dict[str, Any]:
        """What a claim of this worker holds."""
        return {"worker": self.token, **this_process()._asdict()}

    def say(self, more: Mapping[str, Any]) -> None:
        """Tells studies more of this worker."""
        self._about |= more
        documents.write_quickly(self._path, self._about)

    def _beat(self) -> None:
        while not self._ended.wait(self._seconds):
            with contextlib.suppress(OSError):  # a folder that is away for a while
                try:
                    os.utime(self._path)
                except FileNotFoundError:  # taken for dead, while this process was stopped
                    self.say({})


class Watch:
    """What one process has seen of the workers' heartbeats."""

    def __init__(self, folder: WorkFolder, patience: float = PATIENCE):
        self._folder, self._patience = folder, patience
        # Last change of the file, None where there was none, and when that was noticed.
        self._seen: dict[str, tuple[int | None, float]] = {}
        self._dead: set[str] = set()

    def is_dead(self, worker: str, said: Mapping[str, Any]) -> bool:
        """Whether a worker has ended, or has not been heard of for too long; `said` is what its file holds."""
        try:
            change = self._folder.worker_file(worker).stat().st_mtime_ns
        except FileNotFoundError:
            return True
        if self._is_over(worker, said, change):
            self._dead.add(worker)
            return True
        self._dead.discard(worker)
        return False

    def has_lost(self, claim: Mapping[str, Any]) -> bool:
        """Whether a claim is that of a dead worker, or of one without a file for too long: over a network a file that
        is new, or was removed and written again, may be seen long after the claim."""
        worker = str(claim.get("worker") or "")
        return not worker or worker in self._dead or self._is_over(worker, claim, None)

    def _is_over(self, worker: str, said: Mapping[str, Any], change: int | None) -> bool:
        if _ended_here(said):
            return True
        now = time.monotonic()
        before, noticed = self._seen.setdefault(worker, (change, now))
        if change is not None and change != before:
            self._seen[worker] = (change, now)
            return False
        return now - noticed > self._patience


def _ended_here(said: Mapping[str, Any]) -> bool:
    """Processes of this machine can be seen, and need no patience."""
    try:
        return has_ended(Owner(int(said["pid"]), str(said["started"]), str(said["host"]), ""))
    except (KeyError, TypeError, ValueError):
        return False
