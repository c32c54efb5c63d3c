"""Runs one planned chunk of a study: in the study's own process, or in a worker's that was handed its specification."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lr_batch.engine.cadence import cadence_at, cadence_of
from lr_batch.engine.chunk import ChunkResult, ChunkStore
from lr_batch.engine.chunk_plan import Task
from lr_batch.engine.chunk_run import run_chunk
from lr_batch.engine.chunk_status import ChunkStatus
from lr_batch.engine.place import Place
from lr_batch.engine.programs import Engine, Programs
from lr_batch.engine.terms import terms_of
from lr_batch.lanes.race import Terms
from lr_batch.problem.brisk import behind
from lr_batch.problem.changes import at_evaluations, changes_of
from lr_batch.problem.workload import num_examples
from lr_batch.study import Study


def run_task(
    study: Study,
    task: Task,
    device: Place,
    programs: Programs,
    *,
    store: ChunkStore | None = None,
    on_slice: Callable[[ChunkStatus], None] = lambda status: None,
    is_late: Callable[[], bool] = lambda: False,
) -> ChunkResult | None:
    """The rows of a task's chunk; None where it was late. All that the numbers depend on is in study and task.

    Args:
      study: whose chunk it is.
      task: of `ChunkPlan.tasks`.
      device, store, on_slice, is_late: see `run_chunk`.
      programs: what is compiled is kept there.
    """
    return run_chunk(
        engine_of(study, task.width, task.chunk.identity.lanes, programs),
        device,
        task.chunk,
        race_terms(study, task),
        first=task.first,
        store=store,
        on_slice=on_slice,
        is_late=is_late,
    )


def engine_of(study: Study, width: int, execution: str, programs: Programs) -> Engine:
    """The engine of chunks that race to the goal."""
    return programs.engine(study, width, execution, max_evals=len(cadence_of(study)))


def race_terms(study: Study, task: Task) -> Terms:
    """The terms of a chunk that races to the goal."""
    cadence, segment = cadence_at(study, task.chunk.batch_size), task.chunk.identity.segment
    last = segment["steps"] if segment else cadence.steps[-1]
    return terms_of(
        at_evaluations(
            study.as_trained(task.chunk.settings, task.chunk.batch_size),
            changes_of(study.space),
            cadence.steps,
        ),
        task.width,
        batch_size=study.batch_table(task.chunk.batch_size),
        cadence=cadence.steps,
        num_evals=int(np.searchsorted(cadence.steps, last, side="right")),
        reads=cadence.reads(num_examples(study.workload.eval_data), task.chunk.seed),
        max_evals=len(cadence_of(study)),
        goal=study.goal,
        time_constant=study.time_constant,
        slack=study.slack,
        behind=behind(study.slack, brisk=study.brisk),
    )
