"""What a study would train, in how much memory and time, from a few steps of each batch size."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO, NamedTuple

import jax
import numpy as np

from lr_batch import Programs, Study, check, num_examples
from lr_batch.engine import (
    ChunkPlan,
    Engine,
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

STEPS = 2  # that are timed
SECONDS, ROUNDS = (
    0.5,
    3,
)  # that steps are repeated at least: a busy machine takes its share of many, not of a few


class Cost(NamedTuple):
    """Seconds of a chunk: of a step, and of an evaluation."""

    step: float
    evaluation: float


def print_dry_run(study: Study, stream: IO[str]) -> None:
    """Trials, chunks, width, memory, programs, and the time at most; nothing is kept."""
    say = Printer(stream)
    check(study)
    plan = ChunkPlan.of(study)
    plan = plan._replace(execution=remembered_choice(study))
    need, devices = chunk_memory(study), worker_devices()
    chunks = [
        task.chunk
        for size in study.batch_sizes
        for seed in study.seed_numbers
        for task in plan.tasks(size, seed, study.settings)
    ]
    say(
        f"{counted(study.num_trials, 'trial')}: {counted(len(study.batch_sizes), 'batch size')} x "
        f"{counted(len(study.settings), 'setting')} x {counted(len(study.seed_numbers), 'seed')}"
    )
    say(f"{counted(len(chunks), 'chunk')} of up to {counted(plan.width, 'lane')}, {len(devices)} at a time")
    say(
        f"memory: {need.chunk(plan.width, plan.execution) / 1e6:,.0f} MB a chunk "
        f"({need.lane(plan.width, plan.execution) / 1e6:,.3g} MB a lane), {need.data / 1e6:,.0f} MB of data"
    )
    programs = Programs()
    engine = programs.engine(study, plan.width, plan.execution, max_evals=len(cadence_of(study)))
    costs = {size: measured(study, engine, size) for size in study.batch_sizes}
    compile_seconds = sum(programs.compile_seconds)
    say(
        f"programs: {len(programs.compile_seconds)}, compiled in {compile_seconds:.1f} s (kept for the next run)"
    )
    each = [_longest(study, chunk.batch_size, costs[chunk.batch_size]) for chunk in chunks]
    total = max(sum(each) / len(devices), max(each))
    earlier = "; the race ends most chunks earlier" if np.isfinite(study.slack) else ""
    said = duration(total) if total >= 10 else f"{total:.1f} s"
    say(f"time: at most about {said} of training, if every trial spends its budget{earlier}")
    if study.extend:
        say("not counted: rates that are added where the best one lies on the edge of the grid (--no-extend)")


def measured(study: Study, engine: Engine, batch_size: int) -> Cost:
    """Of one chunk at a batch size, with its programs compiled."""
    device, max_evals = worker_devices()[0], len(cadence_of(study))
    first = study.settings[: engine.width]
    cadence = np.pad(np.array([0, 1, 1 + STEPS], np.int32), (0, max(max_evals - 3, 0)), mode="edge")[
        :max_evals
    ]
    settings = study.as_trained(first, batch_size)
    terms = terms_of(settings, engine.width, batch_size=batch_size, cadence=cadence)
    seconds: list[list[float]] = []
    while len(seconds) <= ROUNDS or sum(map(sum, seconds[1:])) < SECONDS:  # the first round compiles
        carry = jax.block_until_ready(engine.start(device, terms, 0, np.ones(engine.width, bool), np.inf))
        row = []
        for stop in (1, 2, 3):
            took, carry = _timed(lambda carry=carry, stop=stop: engine.advance(device, carry, terms, stop))
            row.append(took)
        seconds.append(row)
    evaluation, _, both = np.mean(seconds[1:], axis=0).tolist()
    return Cost(max(both - evaluation, 0.0) / STEPS, evaluation)


def _timed(run: Callable) -> tuple[float, object]:
    began = time.perf_counter()
    outcome = jax.block_until_ready(run())
    return time.perf_counter() - began, outcome


def _longest(study: Study, batch_size: int, cost: Cost) -> float:
    """Seconds of a chunk whose trials spend their budget."""
    cadence, rows = cadence_at(study, batch_size), num_examples(study.workload.eval_data)
    evaluations = cadence.rows_read(len(cadence.steps), rows) / rows
    return study.steps_at(batch_size) * cost.step + evaluations * cost.evaluation
