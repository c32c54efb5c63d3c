"""SIGKILL at random moments: of commands, of workers, and of the study that hands out to them."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from command_line import MODEL, Children, children
from worker_processes import WorkerProcesses, left_in, worker_processes

from runs.store import Store
from runs.store.errors import BadFolder
from tests.faults.outcomes import AGAIN, WHOLE, LeftBehind, Outcome, Wrong, judged, patience
from tests.fuzz.world import MODELS

CHAIN = 4  # kills of one folder, after the last of which the command runs to its end
LONGEST = 1.5  # seconds until a kill
GRID = "--batch-sizes 1:8:x2 --learning-rates 0.1,0.3,1 --seeds 3 --no-extend --out OUT"
FEW = "--batch-size 8 --confirm 2"


class Command(NamedTuple):
    """What is typed, with OUT for its folder, IN for that of a finished curve and MY for the folder of models.

    Attributes:
      kept: pattern of the files that must come out the same, beside the rows of all stores.
      begins_with: whether OUT is a finished curve already.
    """

    words: str
    kept: str = ""
    begins_with: bool = False


COMMANDS = {
    "curve": Command(f"curve MY/my.py:hard {GRID}"),
    "compare": Command(f"compare MY/my.py:hard --optimizers sgd,momentum {GRID}"),
    "tune": Command(f"tune MY/my.py:hard --search random --trials 24 --budget 400 {FEW} --out OUT"),
    "workers": Command(f"curve MY/my.py:hard {GRID} --workers-dir MY/w"),
    "transfer": Command(
        "transfer MY/wide.py:sized --optimizer sgd --widths 4,8 --learning-rates 0.1,0.5,2.5 --seeds 2 --steps 200 "
        "--batch-size 8 --out OUT"
    ),
    "regularize": Command(
        "regularize MY/my.py:workload --batch-sizes 4,8 --learning-rates 0.1,0.5 --seeds 3 --strengths 0.1,0.3 "
        "--epochs 40 --out OUT",
        kept="*.npz",
    ),
    "noise-scale": Command(
        "noise-scale MY/my.py:workload --batch-sizes 4 --learning-rates 0.05 --out OUT", kept="summary.json"
    ),
    "report": Command("report OUT", kept="summary.json", begins_with=True),
    "export": Command("export IN --out OUT/trials.csv", kept="*.csv"),
    "merge": Command("merge IN IN/again --out OUT"),
}


class Killer:
    """Runs commands in `scratch` and kills them; each runs once undisturbed before its first kill."""

    def __init__(self, scratch: Path):
        self.scratch = scratch
        (scratch / "my.py").write_text(MODEL)
        (scratch / "wide.py").write_text(MODELS)
        self._whole: dict[str, set[object]] = {}
        self._stack = contextlib.ExitStack()
        self._started: Children | None = None
        self._workers: WorkerProcesses | None = None

    def __enter__(self) -> Killer:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def started(self) -> Children:
        if self._started is None:
            self._started = self._stack.enter_context(children(self.scratch))
        return self._started

    def _start(self, name: str, out: Path) -> int:
        return self.started.start(*self._words(name, out), checkpoint_seconds=0.0)

    @property
    def workers(self) -> WorkerProcesses:
        if self._workers is None:
            self._workers = self._stack.enter_context(worker_processes(self.scratch / "w"))
        return self._workers

    def chain(self, name: str, number: int, draw: random.Random) -> Iterator[Outcome]:
        """What became of each of `CHAIN` kills of one command in one folder."""
        out = self._folder(f"{name}-{number}", COMMANDS[name])
        for kill in range(CHAIN):
            yield judged(lambda: self._killed(name, out, draw, last=kill == CHAIN - 1))

    def _killed(self, name: str, out: Path, draw: random.Random, *, last: bool) -> str:
        whole = self._undisturbed(name)
        with_workers = name == "workers"
        while with_workers and len(self.workers.alive) < 2:
            self.workers.start()
        pid = self._start(name, out)
        if with_workers and draw.random() < 0.5:
            self.workers.kill_one_at_work()
        else:
            time.sleep(draw.uniform(0, LONGEST))
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.kill(pid, signal.SIGKILL)
        ended = self._end(pid) == 0
        found = results(out, COMMANDS[name].kept)
        if not found <= whole:
            raise Wrong(f"{len(found - whole)} results differ from those of a run that was not killed")
        if last:
            self._runs_to_its_end(name, out)
        return WHOLE if ended else AGAIN

    def _runs_to_its_end(self, name: str, out: Path) -> None:
        if self._ended(name, out) != self._whole[name]:
            raise Wrong("the results differ from those of a run that was not killed")
        left = [str(path) for path in out.rglob(".*") if path.is_file()]
        left += left_in(self.workers.folder) if name == "workers" else []
        if left:
            raise LeftBehind(", ".join(left))

    def _undisturbed(self, name: str) -> set[object]:
        if name not in self._whole:
            self._whole[name] = self._ended(name, self._folder(f"whole-{name}", COMMANDS[name]))
        return self._whole[name]

    def _ended(self, name: str, out: Path) -> set[object]:
        """The results of a command that runs to its end."""
        if name == "workers":
            self.workers.start()
        code = self._end(self._start(name, out))
        if code:
            raise RuntimeError(f"exit code {code}: {self.started.log.read_text()}")
        return results(out, COMMANDS[name].kept)

    def _end(self, pid: int) -> int:
        """The exit code of a command, for which nobody waits for ever."""
        try:
            with patience():
                return self.started.finish()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.started.finish()
            raise

    def _folder(self, name: str, command: Command) -> Path:
        out = self.scratch / name
        if command.begins_with:
            shutil.copytree(self._curve, out)
        else:
            out.mkdir()
        return out

    @property
    def _curve(self) -> Path:
        """A finished curve, which has a copy of itself in it."""
        folder = self.scratch / "whole-curve"
        if not (folder / "again").exists():
            self._undisturbed("curve")
            shutil.copytree(folder, self.scratch / "again")
            (self.scratch / "again").rename(folder / "again")
        return folder

    def _words(self, name: str, out: Path) -> list[str]:
        words = COMMANDS[name].words.split()
        places = {"OUT": out, "MY": self.scratch}
        if "IN" in "/".join(words).split("/"):
            places["IN"] = self._curve
        return ["/".join(str(places.get(part, part)) for part in word.split("/")) for word in words]


def results(folder: Path, kept: str) -> set[object]:
    """Rows of the stores in a folder, without what is of one run alone, and the files whose content is the result."""
    found: set[object] = set()
    for path in sorted(folder.rglob("store.sqlite")):
        with contextlib.suppress(BadFolder), Store(path.parent, read_only=True) as store:  # empty as yet
            if bad := store.verify():
                raise Wrong(f"{path}: {bad[0]}")
            found |= set(store.trial_rows())
    if kept:
        found |= {(path.name, path.read_bytes()) for path in folder.rglob(kept)}
    return found
