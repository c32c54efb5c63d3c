"""SIGKILL at random moments: of commands, of workers, and of the study that hands out to them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from command_line import MODEL, children
from worker_processes import left_in, worker_processes

from runs.store import Store
from tests.faults.outcomes import AGAIN, WHOLE, LeftBehind, Outcome, Wrong, judged

GRID = ("--batch-sizes", "1:8:x2", "--learning-rates", "0.1,0.3,1", "--seeds", "3", "--no-extend")
TUNE = ("--trials", "24", "--batch-size", "8", "--budget", "400", "--confirm", "2", "--search", "random")
LONGEST = 1.5  # seconds until a kill
PATIENCE = 120.0


def kills(scratch: Path, count: int, draw: random.Random) -> Iterator[tuple[str, Outcome]]:
    """What became of each kill: in turn of the commands, each from the beginning once it has ended."""
    (scratch / "my.py").write_text(MODEL)
    commands = {
        "curve": ("curve", f"{scratch}/my.py:hard", *GRID),
        "compare": ("compare", f"{scratch}/my.py:hard", "--optimizers", "sgd,momentum", *GRID),
        "tune": ("tune", f"{scratch}/my.py:hard", *TUNE),
        "workers": ("curve", f"{scratch}/my.py:hard", *GRID, "--workers-dir", f"{scratch}/w"),
    }
    with children(scratch, checkpoint_seconds=0.0) as started, worker_processes(scratch / "w") as workers:
        whole = {
            name: _ended(started, words, scratch / f"whole-{name}", workers)
            for name, words in commands.items()
        }
        for number in range(count):
            name = list(commands)[number % len(commands)]
            out = (
                scratch / f"{name}-{number // (4 * len(commands))}"
            )  # four kills of each before the next folder
            last = number % (4 * len(commands)) >= 3 * len(commands) or number >= count - len(commands)
            job = lambda: _killed(started, commands[name], out, workers, draw, whole[name], last=last)
            yield f"{name}:{number}", judged(job)


def _killed(started, words, out, workers, draw, whole, *, last: bool) -> str:
    with_workers = "--workers-dir" in words
    while with_workers and len(workers.alive) < 2:
        workers.start()
    pid = started.start(*words, "--out", out)
    if with_workers and draw.random() < 0.5:
        workers.kill_one_at_work()
    else:
        time.sleep(draw.uniform(0, LONGEST))
    os.kill(pid, signal.SIGKILL)
    ended = started.finish() == 0
    rows = _rows(out)
    if not rows <= whole:
        raise Wrong(f"{len(rows - whole)} rows differ from those of a run that was not killed")
    if last:
        if _ended(started, words, out, workers) != whole:
            raise Wrong("the rows differ from those of a run that was not killed")
        left = [str(path) for path in out.rglob(".*") if path.is_file()]
        left += left_in(workers.folder) if with_workers else []
        if left:
            raise LeftBehind(", ".join(left))
    return WHOLE if ended else AGAIN


def _ended(started, words, out, workers) -> set:
    """The rows of a command that runs to its end."""
    if "--workers-dir" in words:
        workers.start()
    started.start(*words, "--out", out)
    code = started.finish()
    if code:
        raise RuntimeError(f"exit code {code}: {started.log.read_text()}")
    return _rows(out)


def _rows(folder: Path) -> set:
    """Of the stores in a folder, without what is of one run alone."""
    rows = set()
    for path in sorted(folder.rglob("store.sqlite")):
        if path.stat().st_size:
            with Store(path.parent, read_only=True) as store:
                if bad := store.verify():
                    raise Wrong(f"{path}: {bad[0]}")
                rows |= set(store.trial_rows())
    return rows
