"""Hands the chunks of a study out through a shared folder, and takes their rows in."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from lr_batch import Study, StudyError
from lr_batch.engine import Chunk, ChunkResult, Task, halved
from runs.workers.errors import Damaged
from runs.workers.folder import WorkFolder, id_of, name_of
from runs.workers.outcome import rows_of
from runs.workers.pulse import PATIENCE, Watch
from runs.workers.specification import Sources, Terms, Tuned, of_study, search_id, specification, versions

WINDOW = 512  # chunks in the folder at a time
RETRIES = 2  # times that a chunk is handed out again after its worker died
LOOK_SECONDS = (0.01, 0.1)  # between two looks at the results: at first, and after long waiting
WATCH_SECONDS = 1.0  # between two looks at the workers
LONELY_SECONDS = 15.0  # without any worker, until the user is told

OnHalved = Callable[[list[Task], str], None]


class FolderHandOut:
    """A `lr_batch.engine.HandOut` for `lr_batch.run` and `hparam.tune`.

    A chunk is planned as if it were trained here, and knows nothing of the others but the best steps of the rounds
    before: so its rows are the same whoever trains it. Results that wait from an earlier run are taken in.

    Args:
      folder: that the workers see.
      sources: of the study's workload and optimizer.
      tuned: of a search.
      allow_mixed: takes rows of other devices and versions, and marks them.
      patience: seconds without a heartbeat after which a worker on another machine is taken for dead.
      say: prints a line for people.
      check: called about every second; raises where waiting has become pointless.

    Attributes:
      given_up: a line for each chunk whose workers have died `RETRIES` + 1 times.
      trained_on: kind of device of the study's rows; None as long as there are none.
    """

    def __init__(
        self,
        folder: WorkFolder,
        sources: Sources,
        *,
        tuned: Tuned | None = None,
        allow_mixed: bool = False,
        patience: float = PATIENCE,
        say: Callable[[str], None] = lambda line: None,
        check: Callable[[], None] = lambda: None,
    ):
        self.check, self.tuned = check, tuned
        self.folder, self.sources, self.allow_mixed, self.say = folder, sources, allow_mixed, say
        self.watch = Watch(folder, patience)
        self.given_up: list[str] = []
        self.trained_on: str | None = None
        self._said: set[str] = set()
        self._searches: set[str] = set()

    def __call__(
        self, study: Study, tasks: Sequence[Task], on_halved: OnHalved, is_late: Callable[[], bool]
    ) -> Iterator[tuple[Chunk, ChunkResult]]:
        if self.tuned:
            self._searches |= {search_id(task.chunk) for task in tasks[:1]}
        yield from _Round(self, study, tasks, on_halved).run(is_late)

    def end(self) -> None:
        """Nothing is handed out any more: removes what only another round would have needed."""
        for search in self._searches:
            self.folder.discard_ends(search)

    def terms(self) -> Terms:
        """What workers must be."""
        if self.allow_mixed:
            return Terms(platform=jax.default_backend())
        return Terms(versions(), self.trained_on)

    def accepted(self, rows: ChunkResult) -> ChunkResult | None:
        """The rows, marked where they are of another kind; None where they must not be mixed with the others."""
        self.trained_on = self.trained_on or rows.device
        if (rows.device, rows.versions) == (self.trained_on, versions()):
            return rows
        if not self.allow_mixed:
            return None
        mark = f"trained on {rows.device} with {rows.versions}, unlike the study"
        return rows._replace(events=(*rows.events, mark))

    def say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self.say(line)


class _Round:
    """Chunks that are handed out together: `todo` are still here, `out` in the folder under `names`."""

    def __init__(self, owner: FolderHandOut, study: Study, tasks: Sequence[Task], on_halved: OnHalved):
        self.owner, self.folder, self.on_halved = owner, owner.folder, on_halved
        self.study, self.todo = of_study(study, owner.sources, owner.tuned), deque(tasks)
        self.out: dict[str, Task] = {}
        self.names = {id_of(name): name for name in self.folder.waiting()}  # some may be of a run before
        self.done: set[str] = set()
        self.ranks = itertools.count()
        self.watched = self.met = time.monotonic()  # when workers were looked after, and when there were any
        self.unfinished = self.folder.unfinished()
        self.folder.forgive({task.chunk.id for task in tasks})  # asked for again

    def run(self, is_late: Callable[[], bool]) -> Iterator[tuple[Chunk, ChunkResult]]:
        pause = LOOK_SECONDS[0]
        try:
            while (self.todo or self.out) and not is_late():
                self._top_up()
                before = len(self.done)
                yield from self._finished()
                if time.monotonic() - self.watched > WATCH_SECONDS:
                    self._look_after_workers()
                    self.watched = time.monotonic()
                pause = LOOK_SECONDS[0] if len(self.done) > before else min(2 * pause, LOOK_SECONDS[1])
                if self.out and len(self.done) == before:
                    time.sleep(pause)
        finally:
            for chunk in self.out:
                self.folder.withdraw(self.names[chunk])
            # Since this began: of processes that were killed
            for path in self.unfinished & self.folder.unfinished():
                path.unlink(missing_ok=True)

    def _top_up(self) -> None:
        while self.todo and len(self.out) < WINDOW:
            task = self.todo.popleft()
            self.out[task.chunk.id] = task
            if task.chunk.id not in self.names:
                self._issue(task)

    def _issue(self, task: Task) -> None:
        name = self.names.setdefault(task.chunk.id, name_of(next(self.ranks), task.chunk.id))
        self.folder.issue(name, specification(self.study, task, self.owner.terms()))

    def _finished(self) -> Iterator[tuple[Chunk, ChunkResult]]:
        for chunk in self.folder.delivered():
            if chunk in self.done:  # by a worker that was taken for dead
                self.folder.discard_result(chunk)
            if (task := self.out.get(chunk)) is None:
                continue
            rows = self._rows(task)
            if rows is not None:
                yield task.chunk, rows  # stored when we go on
                self._end(chunk)

    def _rows(self, task: Task) -> ChunkResult | None:
        chunk = task.chunk.id
        try:
            document = self.folder.result(chunk)
            if "died" in document:
                raise Damaged(f"its process died ({document['died']})")
            rows = None if "failed" in document else rows_of(task.chunk, document)
        except FileNotFoundError:  # another study of the same chunk has taken it in
            return None
        except Damaged as error:
            self.folder.discard_result(chunk)
            self._again(task, str(error))
            return None
        if rows is None:
            self._failed(task, document)
            return None
        if (kept := self.owner.accepted(rows)) is None:
            self.owner.say(f"{task}: runs again, it was trained on {rows.device} with {rows.versions}")
            self.folder.discard_result(chunk)
            self._issue(task)
        return kept

    def _failed(self, task: Task, document: dict[str, Any]) -> None:
        self._end(task.chunk.id)
        if not document.get("memory"):
            raise StudyError(f"a worker could not train {document['failed']}")
        self.todo.extendleft(reversed(halved(task, self.on_halved)))

    def _end(self, chunk: str) -> None:
        del self.out[chunk]
        self.done.add(chunk)
        self.folder.forget(chunk, self.names[chunk])

    def _look_after_workers(self) -> None:
        """Takes chunks from workers that have died, and puts up again what is no more in the folder."""
        self.owner.check()
        living = self._living()
        claims = dict(self.folder.claims())
        for chunk in [chunk for chunk in self.out if chunk in claims]:
            lost = claims[chunk].get("worker") not in living and self.owner.watch.has_lost(claims[chunk])
            if lost and self.folder.bury(chunk):
                self._again(self.out[chunk], "its worker died")
        there = {id_of(name) for name in self.folder.waiting()} | {*self.folder.delivered()}
        for chunk in [chunk for chunk in self.out if chunk not in there]:
            self._issue(self.out[chunk])
        self._tell_of_loneliness(bool(living))

    def _living(self) -> set[str]:
        living = set()
        for worker, said in self.folder.workers():
            if self.owner.watch.is_dead(worker, said):
                self.folder.worker_file(worker).unlink(missing_ok=True)
                continue
            living.add(worker)
            if "refuses" in said:
                self.owner.say_once(
                    f"a worker on {said.get('host')} leaves chunks to others: {said['refuses']}"
                )
        return living

    def _again(self, task: Task, why: str) -> None:
        """A chunk goes to another worker, but for the one that has cost too many."""
        chunk, deaths = task.chunk.id, self.folder.count_death(task.chunk.id)
        if deaths <= RETRIES:
            self.owner.say(f"{task}: handed out again, {why}")
            return
        line = f"{task}: failed: worker died {deaths} times ({why}); the same command tries it again"
        self.owner.given_up.append(line)
        self.on_halved([], line)
        self._end(chunk)

    def _tell_of_loneliness(self, met: bool) -> None:
        if met:
            self.met = time.monotonic()
        elif time.monotonic() - self.met > LONELY_SECONDS:
            self.owner.say_once(f"no worker takes chunks; start some by: lr-batch worker {self.folder.path}")
