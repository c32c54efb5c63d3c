"""Plain worker processes, forked from one that has imported everything, so that each begins in no time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from runs.workers.folder import WorkFolder

ROOT = Path(__file__).parents[2]
ORIGIN = """
import os, signal, sys, warnings
import runs.workers.worker, runs.commands.worker, runs.cache, orbax.checkpoint
from lr_batch.engine import chunk_run
from runs.__main__ import main

warnings.simplefilter("ignore")  # JAX warns about forks; the parent runs none of it
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
chunk_run.CHECKPOINT_SECONDS = 0.0
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os.dup2(2, 1)
        os._exit(main(["worker", sys.argv[1], "--slots", "1", *line.split()]))
    print(child, flush=True)
"""


class WorkerProcesses:
    """Starts and kills workers of one folder."""

    def __init__(self, folder: Path):
        self.folder, self.log = folder, folder.with_name(folder.name + ".log")
        self.alive: list[int] = []
        self.origin = subprocess.Popen(
            [sys.executable, "-c", ORIGIN, folder, self.log],
            cwd=ROOT,
            env=os.environ | {"XDG_CACHE_HOME": str(folder.with_name("cache"))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *options: str) -> int:
        self.origin.stdin.write(" ".join(options) + "\n")
        self.origin.stdin.flush()
        self.alive.append(int(self.origin.stdout.readline()))
        return self.alive[-1]

    def kill_one_at_work(self, kind: signal.Signals = signal.SIGKILL) -> str:
        """Kills a worker that has a chunk, as soon as there is one; returns the chunk."""
        folder, end = WorkFolder(self.folder), time.monotonic() + 60
        while time.monotonic() < end:
            for chunk, claim in folder.claims():
                if claim.get("pid") in self.alive:
                    os.kill(claim["pid"], kind)
                    self.alive.remove(claim["pid"])
                    return chunk
            time.sleep(0.002)
        raise AssertionError(f"no worker began a chunk: {self.log.read_text()}")

    def close(self) -> None:
        for pid in self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.origin.communicate(timeout=60)


@contextlib.contextmanager
def worker_processes(folder: Path) -> Iterator[WorkerProcesses]:
    started = WorkerProcesses(folder)
    try:
        yield started
    finally:
        started.close()


def left_in(folder: Path) -> list[str]:
    """Files in a folder of workers, but for those of the workers themselves."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(str(path) for path in files if path.parts[0] != "workers" and len(path.parts) > 1)
