"""Small studies whose chunks others train, and the rows that come of it."""

from __future__ import annotations

import threading

import lr_batch
from lr_batch.engine import ChunkPlan
from runs.store import Store
from runs.workers import sources
from runs.workers.hand_out import FolderHandOut
from runs.workers.specification import Sources
from runs.workers.worker import Worker

GRID = {"batch_sizes": (1, 4), "space": {"learning_rate": (0.1, 0.3, 1.0)}, "seeds": 2}
STUDY = ("--batch-sizes", "1,4", "--learning-rates", "0.1,0.3,1", "--seeds", "2", "--no-extend")


def tiny(model, **changes):
    fields = {
        "workload": sources.found("w", sources.described("w", f"{model}:workload")),
        "extend": False,
        **GRID,
    }
    return lr_batch.Study(**{**fields, **changes})


def tasks_of(study):
    plan = ChunkPlan.of(study)
    return [
        task
        for size in study.batch_sizes
        for seed in (0, 1)
        for task in plan.tasks(size, seed, study.settings)
    ]


def rows_in(folder):
    with Store(folder, read_only=True) as store:
        assert not store.verify()
        return store.trial_rows()


def trained_in_threads(study, folder, model, **options):
    """The rows of a study whose chunks a worker of this process trains, and what its hand-out said."""
    said = []
    handed = FolderHandOut(folder, Sources(f"{model}:workload", "sgd"), say=said.append, **options)
    at_work = Worker(folder)
    thread = threading.Thread(target=at_work.run)
    thread.start()
    try:
        return lr_batch.run(study, hand_out=handed), said
    finally:
        at_work.end()
        thread.join()
