"""What a chunk costs at each batch size, from a few timed steps and evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from lr_batch import Study, num_examples
from lr_batch.engine import Engine, Place, Terms, cadence_at, devices_of, places, terms_of

# Steps are timed together with an evaluation, so they have to take most of the time themselves, but not so long that the
# rounds are few.
PER_EVALUATION, LONGEST, MOST_STEPS = 2.0, 0.05, 256  # times an evaluation; seconds
# Rounds go on for so long, and there are so many at least: what else the machine does evens out over many of them.
SECONDS, ROUNDS = 0.5, 3


class Cost(NamedTuple):
    """Seconds of a chunk: of a step, and of an evaluation of all held-out rows."""

    step: float
    evaluation: float


def measured(study: Study, engine: Engine, batch_size: int) -> Cost:
    """The cost of one chunk at a batch size, while all workers train such chunks: they share memory and caches."""
    workers = places(study.mesh)
    workers = workers if devices_of(workers[0])[0].platform == "cpu" else workers[:1]
    steps = _steps(lambda steps: _round(engine, workers[0], _terms(study, engine, batch_size, steps)))
    terms = _terms(study, engine, batch_size, steps)
    with ThreadPoolExecutor(len(workers)) as pool:
        rows = [
            row for part in pool.map(lambda device: _rounds(engine, device, terms), workers) for row in part
        ]
    evaluation, _, both = np.median(rows, axis=0).tolist()
    return Cost(max(both - evaluation, 0.0) / steps, evaluation)


def _steps(round_of: Callable[[int], Sequence[float]]) -> int:
    """How many steps to time between two evaluations: so many that they take longer than one, or `LONGEST`.

    Args:
      round_of: seconds of a round with so many steps; the first call, which compiles, is thrown away.

    >>> _steps(lambda steps: [0.005, 0.0052, 0.0002 * steps + 0.005])
    64
    """
    round_of(1)
    steps = 1
    while True:
        evaluation, _, both = round_of(steps)
        if both - evaluation > min(PER_EVALUATION * evaluation, LONGEST) or steps >= MOST_STEPS:
            return steps
        steps *= 2


def _terms(study: Study, engine: Engine, batch_size: int, steps: int) -> Terms:
    """Evaluations before the first step, after it, and after `steps` more."""
    cadence = np.array([0, 1, 1 + steps], np.int32)[: engine.max_evals]
    first = study.as_trained(study.settings[: engine.width], study.batch_sizes[0])
    phases = study.batch_phases
    batch = np.array([[0, batch_size]] * phases, np.int32) if phases else batch_size
    return terms_of(first, engine.width, batch_size=batch, cadence=cadence, max_evals=engine.max_evals)


def _rounds(engine: Engine, device: Place, terms: Terms) -> list[list[float]]:
    """Seconds of rounds that take `SECONDS` together, of at least `ROUNDS`."""
    rows: list[list[float]] = []
    while len(rows) < ROUNDS or sum(map(sum, rows)) < SECONDS:
        rows.append(_round(engine, device, terms))
    return rows


def _round(engine: Engine, device: Place, terms: Terms) -> list[float]:
    """Seconds to each of the evaluations."""
    carry = jax.block_until_ready(engine.start(device, terms, 0, np.ones(engine.width, bool), np.inf))
    row = []
    for stop in (1, 2, 3):
        began = time.perf_counter()
        carry = jax.block_until_ready(engine.advance(device, carry, terms, stop))
        row.append(time.perf_counter() - began)
    return row


def seconds_of(study: Study, batch_size: int, costs: Mapping[int, Cost], until: float | None = None) -> float:
    """Seconds of a chunk that is trained to its budget, or `until` a step."""
    steps, rows = study.steps_at(batch_size), num_examples(study.workload.eval_data)
    steps = steps if until is None else min(steps, until)
    cadence = cadence_at(study, batch_size)
    table = np.atleast_2d(study.batch_table(batch_size) if study.batch_schedule else [[0, batch_size]])
    ends = np.minimum([*table[1:, 0], steps], steps)
    training = sum(
        max(float(end) - int(start), 0.0) * costs[int(size)].step
        for (start, size), end in zip(table, ends, strict=True)
    )
    evaluations = int(np.searchsorted(cadence.steps, steps, side="right"))
    return training + cadence.rows_read(evaluations, rows) / rows * costs[batch_size].evaluation
