"""A worker: takes chunks out of the shared folder, one for each of its devices at a time, and delivers their rows."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from lr_batch.engine import Checkpoint, Chunk, ChunkResult, worker_devices
from runs.store import StoreError
from runs.store.checkpoint import load_checkpoint, save_checkpoint
from runs.store.rows import versions
from runs.workers.errors import Damaged, Unfit, WorkersError
from runs.workers.folder import WorkFolder
from runs.workers.outcome import DIED
from runs.workers.pulse import Pulse
from runs.workers.specification import search_id
from runs.workers.trainer import Job, Trainer

LOOK_SECONDS = 0.5  # between two looks at a folder in which nothing waits


class Limits(NamedTuple):
    """When a worker ends by itself: after so many chunks, so many seconds, or so many in which nothing waited."""

    chunks: float = float("inf")
    seconds: float = float("inf")
    idle: float = float("inf")


NO_LIMITS = Limits()


class Lanes:
    """Keeps the lanes of long chunks in the shared folder, as long as they are this worker's to train."""

    def __init__(self, folder: WorkFolder, worker: str):
        self.folder, self.worker = folder, worker

    def load(self, chunk: Chunk) -> ChunkResult | Checkpoint | None:
        return load_checkpoint(self.folder.lanes(chunk.id))

    def save(self, chunk: Chunk, outcome: ChunkResult | Checkpoint) -> None:
        if isinstance(outcome, Checkpoint) and self.folder.holds(chunk.id, self.worker):
            save_checkpoint(self.folder.lanes(chunk.id), outcome)


class Ends:
    """Keeps the lanes of segments of a search in the shared folder, at their ends: who goes on with them need not train
    them again. What goes wrong with them costs that time and no chunk."""

    def __init__(self, folder: WorkFolder, worker: str):
        self.folder, self.worker = folder, worker

    def load(self, chunk: Chunk) -> ChunkResult | Checkpoint | None:
        with contextlib.suppress(OSError, StoreError, ValueError):
            return load_checkpoint(self.folder.ends(search_id(chunk), chunk.id))
        return None

    def save(self, chunk: Chunk, outcome: ChunkResult | Checkpoint) -> None:
        if isinstance(outcome, Checkpoint) and self.folder.holds(chunk.id, self.worker):
            with contextlib.suppress(OSError, StoreError):
                save_checkpoint(self.folder.ends(search_id(chunk), chunk.id), outcome)


class Worker:
    """The state of one worker process.

    Args:
      folder: where chunks wait.
      limits: when to end.
      slots: chunks at a time; one for each accelerator or core where None.
      say: prints a line for people.
    """

    def __init__(
        self,
        folder: WorkFolder,
        limits: Limits = NO_LIMITS,
        *,
        slots: int | None = None,
        say: Callable[[str], None] = lambda line: None,
    ):
        self.folder, self.limits, self.say = folder, limits, say
        self.devices = worker_devices(slots)
        kind = self.devices[0].device_kind
        self.pulse = Pulse(folder, {"device": kind, "versions": versions(), "slots": len(self.devices)})
        self.trainer = Trainer(Ends(folder, self.pulse.token))
        self.began = self.at_work = time.monotonic()
        self.begun, self.delivered = 0, 0
        self._stop, self._choosing = threading.Event(), threading.Lock()
        self._names: deque[str] = deque()
        self._refused: set[str] = set()
        self._errors: list[BaseException] = []

    def run(self) -> int:
        """Works until a limit is reached; returns the number of chunks that were delivered.

        Raises:
          KeyboardInterrupt: after the chunks in flight were checkpointed and given back.
        """
        with self.pulse:
            threads = [
                threading.Thread(target=self._work, args=(device,), daemon=True) for device in self.devices
            ]
            for thread in threads:
                thread.start()
            try:
                for thread in threads:
                    while thread.is_alive():
                        thread.join(0.2)  # so that a signal is noticed
            finally:
                self._stop.set()
                for thread in threads:
                    thread.join()
        if self._errors:
            raise self._errors[0]
        return self.delivered

    def end(self) -> None:
        """Ends `run`, from any thread: chunks in flight are checkpointed and given back."""
        self._stop.set()

    def _is_over(self) -> bool:
        return self._stop.is_set() or time.monotonic() - self.began > self.limits.seconds

    def _work(self, device: jax.Device) -> None:
        try:
            while not self._is_over():
                with self._choosing:
                    job = self._next(device)
                if job:
                    self._train(job, device)
                    self.at_work = time.monotonic()
                elif self._has_done_enough():
                    return
                else:
                    self._stop.wait(LOOK_SECONDS)
        except BaseException as error:
            self._errors.append(error)
            self._stop.set()

    def _has_done_enough(self) -> bool:
        return self.begun >= self.limits.chunks or time.monotonic() - self.at_work >= self.limits.idle

    def _next(self, device: jax.Device) -> Job | None:
        """Claims the first chunk that this worker can train; None where there is none."""
        if self.begun >= self.limits.chunks:
            return None
        for fresh in (False, True):
            if fresh:
                self._names = deque(self.folder.waiting())
            while self._names and not self._is_over():
                job = self._taken(self._names.popleft(), device)
                if job:
                    self.begun += 1
                    return job
        return None

    def _taken(self, name: str, device: jax.Device) -> Job | None:
        said = self.folder.specification(name)
        if said is None:
            return None
        try:
            job = self.trainer.job(said, device)
        except (Damaged, Unfit) as error:
            self._refuse(str(error))
            return None
        return job if self.folder.take(name, self.pulse.claim) else None

    def _refuse(self, reason: str) -> None:
        """Says, once, here and to the study, why a chunk is left to others."""
        if reason not in self._refused:
            self._refused.add(reason)
            self.say(f"left to other workers: {reason}")
            self.pulse.say({"refuses": reason})

    def _train(self, job: Job, device: jax.Device) -> None:
        chunk = job.task.chunk
        is_late = lambda: self._is_over() or not self.folder.holds(chunk.id, self.pulse.token)
        try:
            store = Lanes(self.folder, self.pulse.token)
            document = self.trainer.document(job, device, store=store, is_late=is_late)
            if document is not None:
                self.folder.deliver(chunk.id, self.pulse.token, document)
        except (OSError, StoreError, WorkersError):
            if not self.folder.holds(chunk.id, self.pulse.token):  # another has finished it meanwhile
                return
            self.folder.give_back(chunk.id, self.pulse.token)
            raise
        if document is not None:
            self._delivered(chunk.id, document)
            return
        self.folder.give_back(chunk.id, self.pulse.token)
        if not self.folder.is_asked(chunk.id):  # lanes that were written while another finished it
            self.folder.discard_lanes(chunk.id)

    def _delivered(self, chunk: str, document: Mapping[str, Any]) -> None:
        self.folder.discard_lanes(chunk)
        if DIED in document:
            raise WorkersError(f"{document[DIED]}; the chunk is left to other workers, this one ends")
        self.delivered += 1
