"""A folder of workers as it is seen from another terminal: what waits, who trains what, what is done or has failed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from optim.names import counted
from runs.progress import duration, live_on
from runs.status.watch import PLAIN_SECONDS, POLL, ended_by_interrupt
from runs.text import Printer, harmless
from runs.workers.inventory import (
    DONE,
    FAILED,
    TRAINING,
    WAITING,
    ChunkFound,
    Inventory,
    WorkerFound,
    inventory,
)
from runs.workers.pulse import PATIENCE

WORDS = {
    WAITING: "waiting",
    TRAINING: "in training",
    DONE: "done and not yet stored by their study",
    FAILED: "failed",
}
SHOWN = 20  # chunks, and workers, that are named
STORED = "rows go into the folder of their study: lr-batch status OUT says how far that is"


def work_folder_lines(found: Inventory) -> Iterator[str]:
    """The lines of a folder of workers; a worker is named beside what it trains."""
    counts = ", ".join(
        f"{len(found.of(state)):,} {words}" for state, words in WORDS.items() if found.of(state)
    )
    yield f"{found.folder} (chunks for workers): {counts or 'empty, no study hands out chunks now'}"
    yield from _studies(found)
    known = {worker.token: worker for worker in found.workers}
    for chunk in found.of(TRAINING)[:SHOWN]:
        yield f"  {_chunk(chunk)}: {_who(known.get(chunk.worker))}{_deaths(chunk)}"
    for chunk in found.of(FAILED)[:SHOWN]:
        yield f"  {_chunk(chunk)}: failed: {chunk.why}"
    for chunk in [chunk for chunk in found.of(WAITING) if chunk.deaths][:SHOWN]:
        yield f"  {_chunk(chunk)}: waiting again{_deaths(chunk)}"
    at_work = {chunk.worker for chunk in found.of(TRAINING)}
    for worker in found.workers[:SHOWN]:
        if worker.refuses:
            yield f"  {_name(worker)} leaves chunks to others: {worker.refuses}"
        elif worker.token not in at_work:
            yield f"  {_name(worker)} {'has ended' if worker.gone else 'trains nothing'}"
    if not any(not worker.gone for worker in found.workers):
        yield f"no worker takes chunks; start some by: lr-batch worker {found.folder}"
    yield STORED


def _studies(found: Inventory) -> Iterator[str]:
    """How many chunks there are of each study."""
    studies = dict.fromkeys(chunk.study for chunk in found.chunks)
    for study in studies:
        chunks = [chunk for chunk in found.chunks if chunk.study == study]
        sizes = sorted({chunk.batch_size for chunk in chunks if chunk.batch_size is not None})
        at = f" at batch sizes {', '.join(f'{size:,}' for size in sizes)}" if sizes else ""
        yield f"{study or 'of a study that cannot be read'}: {counted(len(chunks), 'chunk')}{at}"


def _chunk(chunk: ChunkFound) -> str:
    if chunk.batch_size is None or chunk.trials is None:
        return f"chunk {chunk.id}"
    return f"batch size {chunk.batch_size:,}, seed {chunk.seed} ({counted(chunk.trials, 'trial')})"


def _who(worker: WorkerFound | None) -> str:
    if worker is None or worker.gone:
        who = "a worker" if worker is None else _name(worker)
        return f"{who} that is gone; its study hands it out again"
    silent = f", silent for {duration(worker.silent)}" if worker.silent > PATIENCE else ""
    return f"{_name(worker)}{silent}"


def _name(worker: WorkerFound) -> str:
    host, since = worker.host.partition(" ")[0], worker.since.partition("+")[0]
    return f"worker pid {worker.pid} on {host} ({worker.device}), since {since}"


def _deaths(chunk: ChunkFound) -> str:
    return f"; {counted(chunk.deaths, 'worker')} died with it" if chunk.deaths else ""


def watch_work_folder(
    folder: Path, stream: IO[str] | None = None, sleep: Callable[[float], None] = time.sleep
) -> Inventory:
    """Shows what is in the folder until nothing is and no worker lives, or Ctrl-C; returns what was there last."""
    from rich.text import Text

    out = sys.stdout if stream is None else stream
    found, said = inventory(folder), ""
    with ended_by_interrupt(), live_on(out) as live:
        while found.chunks or any(not worker.gone for worker in found.workers):
            text = "\n".join(map(harmless, work_folder_lines(found)))
            if live:
                live.update(Text(text))
            elif text != said:
                said = text
                print(text, file=out, flush=True)
            sleep(POLL if live else PLAIN_SECONDS)
            found = inventory(folder)
    say = Printer(out)
    for line in work_folder_lines(found):
        say(line)
    return found
