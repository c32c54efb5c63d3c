"""What a study would train, in how much memory and time, from a few steps of each batch size."""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, NamedTuple

import jax
import numpy as np

from hparam import SEARCHES
from lr_batch import Programs, Study, check, num_examples
from lr_batch.engine import (
    ChunkPlan,
    Engine,
    Terms,
    cadence_at,
    cadence_of,
    chunk_memory,
    terms_of,
    worker_devices,
)
from optim.names import counted
from runs.curve.run import remembered_choice
from runs.progress import duration
from runs.text import Printer

STEPS = 2  # timed in each round
# Rounds go on for so long, and there are so many at least: what else the machine does evens out over many of them.
SECONDS, ROUNDS = 0.5, 3


class Cost(NamedTuple):
    """Seconds of a chunk: of a step, and of an evaluation of all held-out rows."""

    step: float
    evaluation: float


class Forecast(NamedTuple):
    """What a study would take, if every trial spent its budget.

    Attributes:
      chunks: how many of them; `at_a_time` run side by side.
      training: seconds, from the costs measured.
      compiling: seconds that the programs took, which are kept for the run.
      programs: how many.
    """

    chunks: int
    at_a_time: int
    training: float
    compiling: float
    programs: int


def print_dry_run(study: Study, stream: IO[str]) -> None:
    """Trials, chunks, width, memory, programs, and the time at most; nothing is kept."""
    say = Printer(stream)
    check(study)
    plan = planned(study)
    need = chunk_memory(study)
    followed = "; of these the best rate is followed through less than half" if study.follow else ""
    proposed = f" that {study.design.searched.search} proposes" if study.design else ""
    say(
        f"{counted(study.num_trials, 'trial')}: {counted(len(study.batch_sizes), 'batch size')} x "
        f"{counted(study.num_settings, 'setting')}{proposed} x {counted(len(study.seed_numbers), 'seed')}{followed}"
    )
    say(
        f"memory: {need.chunk(plan.width, plan.execution) / 1e6:,.0f} MB a chunk "
        f"({need.lane(plan.width, plan.execution) / 1e6:,.3g} MB a lane), {need.data / 1e6:,.0f} MB of data"
    )
    found = forecast(study, plan)
    say(
        f"{counted(found.chunks, 'chunk')} of up to {counted(plan.width, 'lane')}, {found.at_a_time} at a time"
    )
    say(f"programs: {found.programs}, compiled in {found.compiling:.1f} s (kept for the next run)")
    earlier = "; the race ends most chunks earlier" if np.isfinite(study.slack) else ""
    said = duration(found.training) if found.training >= 10 else f"{found.training:.1f} s"
    say(f"time: at most about {said} of training, if every trial spends its budget{earlier}")
    if study.design:
        say("not counted: settings that are tried in place of those that diverge")
        if SEARCHES[study.design.searched.search].rungs:
            say(
                f"{study.design.searched.search} trains most settings for only a part of the budget, in much less time"
            )
    elif study.extend:
        say("not counted: rates that are added where the best one lies on the edge of the grid (--no-extend)")


def planned(study: Study) -> ChunkPlan:
    """How the trials are laid out, as a run would."""
    return ChunkPlan.of(study)._replace(execution=remembered_choice(study))


def forecast(study: Study, plan: ChunkPlan, programs: Programs | None = None) -> Forecast:
    """Measures a few steps and evaluations at every batch size, and adds up what all trials take to their budgets."""
    programs, devices = programs or Programs(), worker_devices()
    engine = programs.engine(study, plan.width, plan.execution, max_evals=len(cadence_of(study)))
    costs = {size: measured(study, engine, size) for size in study.trained_batch_sizes}
    per_seed = -(-study.num_settings // plan.width)
    each = [
        _longest(study, size, costs)
        for size in study.batch_sizes
        for _ in range(per_seed * len(study.seed_numbers))
    ]
    return Forecast(
        len(each),
        len(devices),
        makespan(sorted(each, reverse=True), len(devices)),
        sum(programs.compile_seconds),
        len(programs.compile_seconds),
    )


def makespan(each: Sequence[float], workers: int) -> float:
    """Seconds until the last of the chunks ends, when each worker takes the next one as soon as it is free.

    >>> makespan([5.0, 3.0, 3.0], 2)
    6.0
    """
    free = [0.0] * workers
    for seconds in each:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def measured(study: Study, engine: Engine, batch_size: int) -> Cost:
    """The cost of one chunk at a batch size, while all workers train such chunks: they share memory and caches."""
    devices = worker_devices()
    workers = devices if devices[0].platform == "cpu" else devices[:1]
    terms = _terms(study, engine, batch_size)
    _round(engine, workers[0], terms)  # compiles
    with ThreadPoolExecutor(len(workers)) as pool:
        rows = [
            row for part in pool.map(lambda device: _rounds(engine, device, terms), workers) for row in part
        ]
    evaluation, _, both = np.median(rows, axis=0).tolist()
    return Cost(max(both - evaluation, 0.0) / STEPS, evaluation)


def _terms(study: Study, engine: Engine, batch_size: int) -> Terms:
    """Evaluations before the first step, after it, and after `STEPS` more."""
    cadence = np.array([0, 1, 1 + STEPS], np.int32)[: engine.max_evals]
    first = study.as_trained(study.settings[: engine.width], study.batch_sizes[0])
    phases = study.batch_phases
    batch = np.array([[0, batch_size]] * phases, np.int32) if phases else batch_size
    return terms_of(first, engine.width, batch_size=batch, cadence=cadence, max_evals=engine.max_evals)


def _rounds(engine: Engine, device: jax.Device, terms: Terms) -> list[list[float]]:
    """Seconds of rounds that take `SECONDS` together, of at least `ROUNDS`."""
    rows: list[list[float]] = []
    while len(rows) < ROUNDS or sum(map(sum, rows)) < SECONDS:
        rows.append(_round(engine, device, terms))
    return rows


def _round(engine: Engine, device: jax.Device, terms: Terms) -> list[float]:
    """Seconds to each of the evaluations."""
    carry = jax.block_until_ready(engine.start(device, terms, 0, np.ones(engine.width, bool), np.inf))
    row = []
    for stop in (1, 2, 3):
        began = time.perf_counter()
        carry = jax.block_until_ready(engine.advance(device, carry, terms, stop))
        row.append(time.perf_counter() - began)
    return row


def _longest(study: Study, batch_size: int, costs: Mapping[int, Cost]) -> float:
    """Seconds of a chunk whose trials spend their budget."""
    steps, rows = study.steps_at(batch_size), num_examples(study.workload.eval_data)
    cadence = cadence_at(study, batch_size)
    table = np.atleast_2d(study.batch_table(batch_size) if study.batch_schedule else [[0, batch_size]])
    ends = np.minimum([*table[1:, 0], steps], steps)
    training = sum(
        max(int(end) - int(start), 0) * costs[int(size)].step
        for (start, size), end in zip(table, ends, strict=True)
    )
    evaluations = cadence.rows_read(len(cadence.steps), rows) / rows
    return training + evaluations * costs[batch_size].evaluation
