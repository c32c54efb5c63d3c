"""One seed at the smallest and the largest batch size, trained to where its races end, to see what all will take."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lr_batch import Programs, Study, planned_chunks
from lr_batch.engine import ChunkPlan, ChunkResult, Place, Task, expected_steps, places, run_task, run_tasks
from runs.curve.chunk_costs import Cost, seconds_of

SECONDS = 20.0  # after which races that have not ended are given up


class Raced(NamedTuple):
    """The chunks of one seed at a batch size: the steps of the longest, and the seconds of all."""

    steps: float
    seconds: float


def ends(study: Study) -> tuple[int, ...]:
    """The smallest and the largest batch size, which may be the same."""
    return tuple(sorted({study.batch_sizes[0], study.batch_sizes[-1]}))


def raced(
    study: Study, plan: ChunkPlan, programs: Programs, seconds: float | None = None
) -> dict[int, Raced]:
    """What the races of the first seed took at both ends of the batch sizes; an end that was given up is left out.

    Their programs, settings and budget are those of the study. Nothing is kept.
    """
    deadline = time.monotonic() + (SECONDS if seconds is None else seconds)
    tasks = {size: plan.tasks(size, study.seed_numbers[0], study.settings) for size in ends(study)}
    is_late = lambda: time.monotonic() >= deadline

    def train(task: Task, device: Place, emit: Callable[[Any], None]) -> list[Task]:
        rows = None if is_late() else run_task(study, task, device, programs, is_late=is_late)
        emit((task.chunk.batch_size, rows))
        return []

    found: dict[int, list[ChunkResult]] = defaultdict(list)
    for size, rows in run_tasks(sum(tasks.values(), []), train, places(study.mesh)):
        found[size] += [rows] if rows is not None else []
    return {
        size: Raced(max(float(rows.steps.max()) for rows in own), sum(rows.seconds for rows in own))
        for size, own in found.items()
        if len(own) == len(tasks[size])
    }


def likely(
    study: Study, plan: ChunkPlan, costs: Mapping[int, Cost], races: Mapping[int, Raced]
) -> list[float]:
    """Seconds of each chunk, whose race ends between those at both ends of the batch sizes.

    Steps lie on the curve through both. What the costs leave out, such as lanes that have diverged and take no time,
    is the ratio of the seconds of both races to those that the costs give, and lies between the two on log scales.
    """
    full = sum(
        plan.identity.share(min(plan.width, len(study.settings) - start))
        for start in range(0, len(study.settings), plan.width)
    )
    steps = {size: one.steps for size, one in races.items()}
    sizes = sorted(races)
    log_ratio = [
        math.log(races[size].seconds / (full * seconds_of(study, size, costs, steps[size]))) for size in sizes
    ]

    def of(size: int) -> float:
        ratio = math.exp(np.interp(math.log(size), np.log(sizes), log_ratio))
        return ratio * seconds_of(study, size, costs, expected_steps(steps, size))

    return [share * of(size) for size, share in _parts(study, plan)]


def _parts(study: Study, plan: ChunkPlan) -> list[tuple[int, float]]:
    """Batch size of each chunk, and its part of the time of a full one; a search that adapts goes on as it begins."""
    rounds = study.num_settings / len(study.settings) if study.design else 1.0
    return [
        (size, rounds * plan.identity.share(lanes))
        for size, chunks in planned_chunks(study, plan.width).items()
        for lanes in chunks
    ]
