"""Others at the same files: full disks, clocks that jump, readers beside a writer, two studies that hand out."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from store_chunks import make_chunk, make_result

from lr_batch.engine import ChunkResult, Task
from runs.store import Store, StoreError
from runs.workers import hand_out, outcome
from runs.workers.folder import WorkFolder
from runs.workers.hand_out import FolderHandOut
from runs.workers.pulse import Pulse, Watch
from runs.workers.specification import Sources
from tests.faults.corruption import as_saved
from tests.faults.outcomes import AGAIN, WHOLE, Wrong


def full_disk(folder: Path, draw: random.Random) -> str:
    """In a child whose files may not grow beyond a limit: what it was told to be stored is there afterwards."""
    Store(folder).close()
    limit, told = draw.randrange(60_000, 400_000), folder.with_name("told")
    with warnings.catch_warnings(action="ignore"):  # the child runs nothing of JAX
        child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        code = 0
        try:
            with Store(folder, full_sync=False) as store, told.open("w") as file:
                for size in range(1, 400):
                    store.save(make_chunk(size), make_result(make_chunk(size)))
                    print(size, file=file, flush=True)
        except (StoreError, OSError):
            code = 1
        except BaseException:
            code = 9
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, 1):
        raise RuntimeError(f"the writer ended with {code}")
    with Store(folder) as store:
        for size in map(int, told.read_text().split()):
            if not as_saved(store.load(make_chunk(size)), size):
                raise Wrong(f"chunk {size} was acknowledged and is gone")
    return AGAIN if code else WHOLE


def jumping_clock(folder: Path, draw: random.Random) -> str:
    """A worker whose clock is years off and goes back and forth is alive as long as its heartbeat changes."""
    shared = WorkFolder(folder / "w")
    with Pulse(shared, {}, seconds=3600.0) as pulse:
        watch, elsewhere = (
            Watch(shared, patience=1e-4),
            {"pid": 1, "started": "then", "host": "another machine"},
        )
        for _ in range(20):
            stamp = draw.uniform(0, 4e9)
            os.utime(shared.worker_file(pulse.token), (stamp, stamp))
            if watch.is_dead(pulse.token, elsewhere):
                raise Wrong("a living worker was taken for dead")
        time.sleep(0.001)
        if not watch.is_dead(pulse.token, elsewhere):
            raise Wrong("a dead worker was taken for alive")
    return WHOLE


def readers(folder: Path, draw: random.Random) -> str:
    """Readers see whole chunks or none, and never hold the writer up."""
    ended, seen = threading.Event(), []

    def read():
        while not ended.is_set():
            with Store(folder, read_only=True) as store:
                rows = store.trial_rows()
            seen.append(len(rows))

    with Store(folder, full_sync=False) as store:
        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for size in range(1, 40):
            store.save(make_chunk(size), make_result(make_chunk(size)))
        ended.set()
        for thread in threads:
            thread.join()
    if any(count % 4 for count in seen):
        raise Wrong(f"a part of a chunk was read: {seen}")
    return WHOLE


def two_studies(folder: Path, draw: random.Random) -> str:
    """Two processes hand out the same chunks through one folder; one worker delivers. Both get all, each once."""
    with mock.patch.multiple(hand_out, WATCH_SECONDS=0.05, of_study=lambda *study: {}):
        return _handed_out_twice(folder, draw)


def _handed_out_twice(folder: Path, draw: random.Random) -> str:
    shared, ended = WorkFolder(folder / "w"), threading.Event()
    chunks = {chunk.id: chunk for chunk in (make_chunk(size) for size in range(1, 30))}

    def work():
        with Pulse(shared, {}) as pulse:
            while not ended.is_set():
                for name in shared.waiting():
                    said = shared.specification(name)
                    if said and shared.take(name, pulse.claim):
                        chunk = chunks[said["chunk"]]
                        shared.deliver(chunk.id, pulse.token, outcome.of_rows(chunk, make_result(chunk)))
                time.sleep(draw.uniform(0, 0.01))

    taken: list[list[tuple]] = [[], []]

    def study(number):
        tasks = [Task(chunk, 4) for chunk in chunks.values()]
        end = time.monotonic() + 60
        late = lambda: time.monotonic() > end
        taken[number] += FolderHandOut(shared, Sources("", ""))(None, tasks, lambda *_: None, late)

    threads = [threading.Thread(target=study, args=(number,)) for number in (0, 1)]
    worker = threading.Thread(target=work)
    for thread in (worker, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    worker.join()
    for got in taken:
        if sorted(chunk.id for chunk, _ in got) != sorted(chunks):
            raise TimeoutError(f"one study got {len(got)} of {len(chunks)} chunks")
        if not all(isinstance(rows, ChunkResult) and as_saved(rows, chunk.batch_size) for chunk, rows in got):
            raise Wrong("rows are others")
    return WHOLE


KINDS: dict[str, Callable[[Path, random.Random], str]] = {
    "full disk": full_disk,
    "clock": jumping_clock,
    "readers": readers,
    "two studies": two_studies,
}
