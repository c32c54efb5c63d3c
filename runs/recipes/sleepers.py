"""Workers that sleep: for as many seconds as a chunk's first setting says, then they deliver made-up rows.

The folder, the claims, the results and Ray are the real ones; only the training is a sleep, so that two cores can play
eight machines. Without JAX.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from runs.workers import documents
from runs.workers.folder import WorkFolder
from runs.workers.pulse import Pulse

ROWS = "rows.json"  # what all of them deliver
WARM = 2.0  # seconds slept in each of Ray's processes at first, so that all have begun


def plain(folder: Path) -> None:
    """One worker, until whoever started it has ended."""
    shared, study = WorkFolder(folder), os.getppid()
    rows = documents.read(folder / ROWS)
    with Pulse(shared, {}) as pulse:
        while os.getppid() == study:
            for name in shared.waiting():
                said = shared.specification(name)
                if said is not None and shared.take(name, pulse.claim):
                    time.sleep(said["settings"][0]["seconds"])
                    shared.deliver(said["chunk"], pulse.token, {**rows, "chunk": said["chunk"]})
            time.sleep(0.01)


def on_ray(folder: Path, slots: int) -> None:
    """A Ray cluster of its own with so many slots, and the bridge that hands the chunks to it."""
    import logging

    import ray  # pyright: ignore[reportMissingImports]

    from runs.workers.ray_bridge import Bridge

    train = sleeps(documents.read(folder / ROWS))
    ray.init(num_cpus=slots, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    warm = ray.remote(max_retries=0, num_cpus=1)(lambda: time.sleep(WARM))  # nothing that is written in C
    ray.get([warm.remote() for _ in range(slots)])
    Bridge(ray, WorkFolder(folder), train).run()


def sleeps(rows: dict[str, Any]) -> Callable[[dict[str, Any], bool], bytes]:
    """As `runs.workers.ray_bridge.train`."""

    def slept(said: dict[str, Any], on_gpu: bool) -> bytes:
        time.sleep(said["settings"][0]["seconds"])
        return documents.encoded({**rows, "chunk": said["chunk"]})

    return slept


@contextlib.contextmanager
def sleeping(folder: Path, workers: int, *, ray: bool) -> Generator[None, None, None]:
    """So many workers of `folder`, or so many of Ray's slots, from when all of them wait for chunks."""
    call = [sys.executable, "-m", __name__, str(folder)]
    calls = [[*call, str(workers)]] if ray else [call] * workers
    started = [subprocess.Popen(call, start_new_session=True) for call in calls]
    try:
        while len(list(WorkFolder(folder).workers())) < len(started):
            if any(process.poll() is not None for process in started):
                raise RuntimeError("a worker that sleeps has ended")
            time.sleep(0.01)
        yield
    finally:
        for process in started:
            process.terminate()
            process.wait()


def main(folder: str, slots: str = "") -> None:
    if slots:
        on_ray(Path(folder), int(slots))
    else:
        plain(Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
