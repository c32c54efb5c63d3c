"""Processes that write to a store until they are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


WRITERS = """
import itertools, os, sys, warnings
from runs.store import Store
from tests.runs.store_chunks import make_chunk, make_result

warnings.simplefilter("ignore")  # JAX warns about forks; these run none of it
for folder, first in map(str.split, sys.stdin):
    child = os.fork()
    if not child:
        os.write(1, b"%d\\n" % os.getpid())
        store = Store(folder)
        for batch_size in itertools.count(int(first)):
            chunk = make_chunk(batch_size)
            store.save(chunk, make_result(chunk))
            os.write(1, b"%d\\n" % batch_size)  # number and end of line at once, whenever it is killed
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


class Writers:
    """Starts one process after the other that saves chunk after chunk, acknowledging each, for ever.

    They fork from one process, since importing JAX takes longer than all they do.
    """

    def __init__(self):
        command = [sys.executable, "-c", WRITERS]
        self.origin = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, folder: Path, first: int) -> int:
        """Returns the pid once the first chunk, of batch size `first`, is acknowledged."""
        self.origin.stdin.write(f"{folder} {first}\n")
        self.origin.stdin.flush()
        pid = int(self.origin.stdout.readline())
        assert int(self.origin.stdout.readline()) == first
        return pid

    def kill(self, pid: int) -> list[int]:
        """Returns the batch sizes that were acknowledged after the first."""
        os.kill(pid, signal.SIGKILL)
        return [int(line) for line in iter(self.origin.stdout.readline, "dead\n")]

    def close(self) -> None:
        self.origin.communicate(timeout=60)
