"""Runs a study: plans its chunks, hands them to the workers, extends the grid, gathers the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from lr_batch.checks import check
from lr_batch.engine.cadence import cadence_at, counted_costs
from lr_batch.engine.chunk import Chunk, ChunkResult, ChunkStore
from lr_batch.engine.chunk_plan import ChunkPlan, HandOut, Task, is_out_of_memory, run_within_memory
from lr_batch.engine.memory import chunk_memory
from lr_batch.engine.memory_choice import within_memory
from lr_batch.engine.place import Place, devices_of, places, refuse_mixture
from lr_batch.engine.processes import agreed
from lr_batch.engine.programs import ADVANCE, START, Programs
from lr_batch.engine.step_cost import rows_worth_a_step
from lr_batch.engine.task_run import engine_of, run_task
from lr_batch.engine.workers import run_tasks
from lr_batch.outcome import result_of
from lr_batch.problem.column import about_damaged
from lr_batch.result import BUDGET, EngineReport, Result, Trial, cell_of, longest_trials, place
from lr_batch.rounds import Round, chunks_beyond, rounds_of
from lr_batch.run_arguments import check_run
from lr_batch.study import Study
from lr_batch.tally import Progress, Tally
from optim.arguments import explain_arguments


class Compilation(NamedTuple):
    """A program to compile ahead of its use, `START` or `ADVANCE`, for chunks of `width` lanes."""

    width: int
    program: str


@explain_arguments
def run(
    study: Study,
    store: ChunkStore | None = None,
    on_chunk: Callable[[Progress], None] | None = None,
    *,
    workers: int | None = None,
    programs: Programs | None = None,
    width: int | None = None,
    time_limit: float | None = None,
    hand_out: HandOut | None = None,
) -> Result:
    """Trains every trial of `study`.

    Args:
      study: what to measure. Processes that `jax.distributed` connects train it together, on a mesh of all their
        devices, where each calls this alike; the first one alone has the store, and no `on_chunk` may raise in one alone.
      store: keeps finished chunks; those that it holds already are not trained again. Without one nothing is kept.
      on_chunk: called in this thread whenever a chunk has got further. If it raises, the chunks in flight are
        finished and stored, and the exception goes on.
      workers: programs run at the same time, from 1 to 1,024; one for each accelerator or CPU core where None.
      programs: keeps what is compiled, and takes from it what another run has compiled before.
      width: lanes of a chunk, from 1 to 65,536; as many as are useful and fit where None. A study that goes on finds its
        finished chunks by the width that it began with; what is missing is cut where memory allows fewer now.
      time_limit: seconds, above 0, after which no chunk is begun and those in flight are stored as they are; an event
        then says which trials are missing. The same call with the same store goes on.
      hand_out: trains the chunks elsewhere, see `runs.workers`; here where None. What is planned is the same.

    Returns:
      The trials, in the order of batch sizes, seeds and settings, whatever the order they finished in.

    Raises:
      StudyError: if a check of `lr_batch.check` fails, or the model, loss or optimizer cannot be compiled.
      ValueError: for early stopping, which would end trials by another rule than the race.
    """
    check_run(study, width=width, workers=workers, time_limit=time_limit, handed_out=hand_out is not None)
    check(study)
    on_chunk = on_chunk or (lambda progress: None)
    study = study if hand_out else within_memory(study)
    sweep = _Sweep(study, store, on_chunk, places(study.mesh, workers), programs or Programs(), width)
    sweep.hand_out = hand_out
    if time_limit is not None:
        sweep.deadline = sweep.began + time_limit
    return sweep.run()


class _Sweep:
    """The state of one call of `run`."""

    def __init__(
        self,
        study: Study,
        store: ChunkStore | None,
        on_chunk: Callable,
        devices: Sequence[Place],
        programs: Programs,
        width: int | None,
    ):
        self.study, self.store, self.on_chunk, self.devices = study, store, on_chunk, devices
        self.programs, self.compiled_before = programs, len(programs.compile_seconds)
        self.began = time.monotonic()
        self.hand_out: HandOut | None = None
        self.plan = ChunkPlan.of(study, kept=width)
        self.lane_bytes = chunk_memory(study).lane(self.plan.fits, self.plan.execution)
        self.deadline = np.inf  # of the clock that `began` is of
        self.tally = Tally(study.goal, study.examples)
        self.events = list(study.notes)
        self.trained_on: set[str] = set()  # kinds of device of what the store holds

    def run(self) -> Result:
        for wanted in rounds_of(self.study, self._result):
            self.events += wanted.events
            self._run_tasks(self._plan(wanted), wanted)
            if self._ends_early():
                break
        self.events += about_damaged(self.study.workload.train_data)
        if agreed(self._is_late) and self.tally.missing():
            self.events.append(self.tally.about_missing())
        return self._result()

    def _is_late(self) -> bool:
        return time.monotonic() >= self.deadline

    def _ends_early(self) -> bool:
        """Whether trials are missing that the same run would finish another time: the next plan would differ."""
        given_up = self.hand_out is not None and bool(self.hand_out.given_up)
        return given_up or (agreed(self._is_late) and bool(self.tally.missing()))

    def _plan(self, wanted: Round) -> list[Task]:
        """Chunks of every batch size and seed; each races against the best of those that are finished.

        A trial whose end is known, as it got to the goal, diverged or lost the race, does not go on.
        """
        known = {cell_of(trial): trial for trial in longest_trials(self.tally.trials())}
        best, tasks = best_by_cell(known.values()), []
        for (batch_size, seed), asked in wanted.cells.items():
            steps = [self._until(batch_size, one.steps) for one in asked]
            first = best.get((batch_size, seed), np.inf)
            for until in dict.fromkeys(steps):
                last = min(until or np.inf, self.study.slack * first)
                settings = [
                    one.setting
                    for one, end in zip(asked, steps, strict=True)
                    if end == until and goes_on(known.get(place(batch_size, seed, one.setting)), last)
                ]
                tasks += self.plan.tasks(batch_size, seed, settings, first=first, until=until)
        return tasks

    def _until(self, batch_size: int, steps: int | None) -> int | None:
        """The first evaluation at which so many steps are done; None for the last one, the end of the budget."""
        if steps is None:
            return None
        evaluations = cadence_at(self.study, batch_size).steps
        end = int(evaluations[np.searchsorted(evaluations[:-1], steps)])
        return None if end == evaluations[-1] else end

    def _run_tasks(self, tasks: list[Task], wanted: Round) -> None:
        self.tally.plan([task.chunk for task in tasks], self.plan.identity, wanted.to_come)
        missing = self.plan.unfinished(tasks, self._restore, self._note_halves)
        for size in _sizes(tasks) - _sizes(missing) if wanted.grows else ():
            self._expect_growth(size)
        self._report()
        if missing and self.hand_out is None:
            refuse_mixture(self.trained_on, self.devices[0])
        for chunk, outcome in self._outcomes(in_order(missing)):
            self.tally.note(chunk, outcome)
            if isinstance(outcome, ChunkResult):
                costs = counted_costs(self.study, chunk.batch_size, len(outcome.eval_steps))
                self.tally.note_costs(len(chunk.settings), *costs)
                if wanted.grows and self.tally.tells_more(chunk.batch_size):
                    self._expect_growth(chunk.batch_size)
            self._report()

    def _expect_growth(self, batch_size: int) -> None:
        """By the trials that are finished there, for the time that is left."""
        known = result_of(self.study, self.tally.trials(batch_size))
        lanes = chunks_beyond(self.study, known).get(batch_size, [])
        self.tally.expect_beyond(batch_size, self.plan.identity, lanes)

    def _outcomes(self, tasks: list[Task]) -> Iterator[tuple[Chunk, Any]]:
        """What becomes of the tasks, as it comes; what is finished is stored before."""
        if self.hand_out is None:
            yield from run_tasks([*compilations(tasks), *tasks], self._run_task, self.devices)
            return
        for chunk, rows in self.hand_out(self.study, tasks, self._note_halves, self._is_late):
            if self.store is not None:
                self.store.save(chunk, rows)
            yield chunk, rows

    def _restore(self, task: Task) -> bool:
        known = agreed(lambda: self.store.load(task.chunk) if self.store is not None else None)
        if isinstance(known, ChunkResult):
            self.tally.accept(task.chunk, known)
            self.trained_on.add(known.device)
        return isinstance(known, ChunkResult)

    def _run_task(self, task: Task | Compilation, device: Place, emit: Callable) -> list[Task]:
        """In a worker's thread. Returns the two halves of a chunk that did not fit into memory."""
        if agreed(self._is_late):
            return []
        if isinstance(task, Compilation):
            self._compile(task, device)
            return []
        return run_within_memory(task, lambda task: self._train(task, device, emit), self._note_halves)

    def _compile(self, wanted: Compilation, device: Place) -> None:
        try:
            engine_of(self.study, wanted.width, self.plan.execution, self.programs).prepare(
                device, wanted.program
            )
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):  # which the chunks that need the program meet again
                raise

    def _train(self, task: Task, device: Place, emit: Callable) -> None:
        outcome = run_task(
            self.study,
            task,
            device,
            self.programs,
            store=self.store,
            on_slice=lambda status: emit((task.chunk, status)),
            is_late=self._is_late,
        )
        if outcome is None:
            return
        if self.store is not None:
            self.store.save(task.chunk, outcome)
        emit((task.chunk, outcome))

    def _note_halves(self, halves: list[Task], event: str) -> None:
        self.events += [event] if event not in self.events else []
        self.tally.cut([task.chunk for task in halves])

    def _report(self) -> None:
        seconds = time.monotonic() - self.began
        at_once = len(self.devices)
        if self.hand_out is not None:  # to any number of workers: as many as have been seen at work
            at_once = max(1.0, self.tally.trained_seconds / seconds)
        left = self.tally.left(
            steps_at=self.study.steps_at,
            worth=lambda size: rows_worth_a_step(self.study, size),
            at_once=at_once,
        )
        width = min(self.plan.width, self.plan.fits)
        self.on_chunk(self.tally.progress(seconds, width, self.lane_bytes, left))

    def _result(self) -> Result:
        return result_of(self.study, self.tally.trials(), self._engine_report())

    def _engine_report(self) -> EngineReport:
        seconds = time.monotonic() - self.began
        devices = [device for place in self.devices for device in devices_of(place)]
        compiled = self.programs.compile_seconds[self.compiled_before :]
        return EngineReport(
            seconds=seconds,
            compile_seconds=sum(compiled),
            programs_compiled=len(compiled),
            examples=self.tally.trained_examples,
            device=f"{len(devices)} x {devices[0].device_kind}",
            chunk_width=self.plan.width,
            trials_per_second=self.tally.trained_trials / seconds,
            events=tuple(self.events),
            evaluation_share=self.tally.evaluation_share,
        )


def _sizes(tasks: Iterable[Task]) -> set[int]:
    return {task.chunk.batch_size for task in tasks}


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """The longest first, so that no worker ends long after the others; but second one of the smallest batch size, from
    which on the time that is left is known from both ends."""
    largest_first = sorted(tasks, key=lambda task: -task.chunk.batch_size)
    return (
        [*largest_first[:1], *largest_first[-1:], *largest_first[1:-1]] if len(tasks) > 1 else largest_first
    )


def compilations(tasks: Sequence[Task]) -> list[Compilation]:
    """The programs of `tasks`, which are compiled side by side before the first chunk needs them."""
    widths = sorted({task.width for task in tasks})
    return [Compilation(width, program) for width in widths for program in (ADVANCE, START)]


def goes_on(trial: Trial | None, last: float) -> bool:
    """Whether training up to step `last` tells more than is known of a trial."""
    return trial is None or (trial.status == BUDGET and trial.steps < last)


def best_by_cell(trials: Iterable[Trial]) -> dict[tuple[int, int], float]:
    """Fewest steps to the goal at each batch size and seed where any trial reached it."""
    cells: dict[tuple[int, int], float] = {}
    for trial in trials:
        if trial.steps_to_goal is not None:
            cell = trial.batch_size, trial.seed
            cells[cell] = min(trial.steps_to_goal, cells.get(cell, np.inf))
    return cells
