"""Between the shared folder and a Ray cluster: takes chunks as any worker does, and has Ray train them.

A process of its own, since Ray forks and JAX does not survive that: nothing here imports JAX. The tasks run in Ray's
own processes, which are kept, so that each compiles once. Ray retries nothing: a process or a machine that dies is
reported to the study, which counts.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runs.interrupts import interruptible
from runs.workers import documents
from runs.workers.errors import WorkersError
from runs.workers.folder import WorkFolder, id_of
from runs.workers.layout import FORMAT
from runs.workers.pulse import Pulse

PER_SLOT = 2  # chunks that Ray has for each of its slots: one that runs and one that waits
LOOK_SECONDS = 0.2
ANSWER_SECONDS = 10.0
PASSED = ("JAX_", "XLA_")


def train(said: dict[str, Any], on_gpu: bool) -> bytes:
    """In a process of Ray's: the document of a chunk."""
    from runs.xla_flags import set_xla_flags

    set_xla_flags()  # before JAX is imported
    import jax

    from runs.workers.errors import Damaged, Unfit
    from runs.workers.outcome import DIED, of_failure

    devices = jax.local_devices()
    try:
        if on_gpu and len(devices) != 1:
            raise Unfit(f"a task of Ray's sees {len(devices)} devices instead of the one that it asked for")
        job = _trainer().job(said, devices[0])
    except (Damaged, Unfit) as error:
        return documents.encoded(of_failure(said["chunk"], f"on Ray: {error}"))
    document = _trainer().document(job, devices[0]) or {}
    if DIED in document:  # Ray takes another process, and tells
        os._exit(1)
    return documents.encoded(document)


_trainers: list[Any] = []


def _trainer() -> Any:
    """That of this process."""
    from runs.workers.trainer import Trainer

    if not _trainers:
        _trainers.append(Trainer())
    return _trainers[0]


class Bridge:
    """Keeps Ray's slots busy with chunks of a folder.

    Args:
      ray: connected to a cluster.
      folder: where chunks wait.
      train: what Ray's processes call with a specification, and whether they have a GPU.
    """

    def __init__(self, ray: Any, folder: WorkFolder, train: Callable[[dict[str, Any], bool], bytes] = train):
        self.ray, self.folder = ray, folder
        self.on_gpu = ray.cluster_resources().get("GPU", 0) >= 1
        kind = {"num_gpus": 1} if self.on_gpu else {}
        self.task = ray.remote(max_retries=0, num_cpus=1, **kind)(train)
        self.running: dict[Any, str] = {}

    def run(self) -> None:
        """Until the process is told to end or the study has ended; chunks in flight are then given back."""
        study = os.getppid()
        with Pulse(self.folder, {"device": f"Ray, {self.slots()} slots"}) as pulse:
            try:
                while os.getppid() == study:
                    self._fill(pulse)
                    self._finish(pulse)
            finally:
                for chunk in self.running.values():
                    self.folder.give_back(chunk, pulse.token)

    def slots(self) -> int:
        """Of the cluster as it is now: machines come and go."""
        return int(self.ray.cluster_resources().get("GPU" if self.on_gpu else "CPU", 0))

    def _fill(self, pulse: Pulse) -> None:
        room = PER_SLOT * self.slots() - len(self.running)
        for name in self.folder.waiting() if room > 0 else ():
            if room <= 0 or id_of(name) in self.running.values():
                continue
            said = self.folder.specification(name)
            if said is not None and self.folder.take(name, pulse.claim):
                self.running[self.task.remote(said, self.on_gpu)] = said["chunk"]
                room -= 1

    def _finish(self, pulse: Pulse) -> None:
        if not self.running:
            time.sleep(LOOK_SECONDS)
            return
        ready, _ = self.ray.wait(list(self.running), timeout=LOOK_SECONDS)
        for reference in ready:
            chunk = self.running.pop(reference)
            self.folder.deliver(chunk, pulse.token, self._document(reference, chunk))

    def _document(self, reference: Any, chunk: str) -> dict[str, Any]:
        try:
            return documents.decoded(self.ray.get(reference), f"Ray's result of {chunk}")
        except self.ray.exceptions.RayTaskError as error:  # raised by our own code in the task
            said = " ".join(str(error).split())[-500:]
            return {"format": FORMAT, "chunk": chunk, "failed": said, "memory": False}
        except (self.ray.exceptions.RayError, WorkersError) as error:  # the process or its machine is gone
            return {"format": FORMAT, "chunk": chunk, "died": type(error).__name__}


def connect(address: str) -> Any:
    """Ray, connected to a cluster.

    Raises:
      WorkersError: there is none, or Ray is not installed.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise WorkersError(f"--ray: Ray is not installed ({error}); pip install 'lr-batch[ray]'") from error
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), ANSWER_SECONDS).close()  # Ray would try for minutes
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, runtime_env=runtime_env())
    except (OSError, RuntimeError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        raise WorkersError(
            f"--ray {address}: no cluster answers: {said}; start one by: ray start --head"
        ) from error
    return ray


def runtime_env() -> dict[str, dict[str, str]]:
    """What of this process's environment JAX reads as it is imported, for Ray's processes."""
    passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
    return {"env_vars": passed}


def main(address: str, folder: str) -> int:
    try:
        with interruptible():
            Bridge(connect(address), WorkFolder(Path(folder))).run()
    except KeyboardInterrupt:
        return 0
    except (WorkersError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
