"""Chunks that workers of this process train: the same rows as without them, whatever goes wrong."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np
import pytest
from handed_out import tasks_of, tiny, trained_in_threads
from store_chunks import make_result
from worker_processes import left_in

import lr_batch
from lr_batch.engine import ChunkPlan, Task
from runs.workers import hand_out, outcome, sources, trainer
from runs.workers.folder import WorkFolder, name_of
from runs.workers.hand_out import FolderHandOut
from runs.workers.specification import Sources, Terms, of_study, specification
from runs.workers.worker import Limits, Worker


@pytest.mark.usefixtures("quick")
def test_handed_out_rows_are_those_of_one_process(model, tmp_path):
    study, folder = tiny(model), WorkFolder(tmp_path / "w")
    here, (there, said) = lr_batch.run(study), trained_in_threads(study, folder, model)
    for field in ("batch_size", "seed", "steps_to_goal", "steps", "status"):
        np.testing.assert_array_equal(getattr(here, field), getattr(there, field), err_msg=field)
    assert all(
        a.values.tobytes() == b.values.tobytes() for a, b in zip(here.curves, there.curves, strict=True)
    )
    assert (said, left_in(folder.path)) == ([], [])


@pytest.mark.usefixtures("quick")
def test_what_does_not_fit_into_a_worker_is_halved(model, tmp_path, monkeypatch):
    true_run, study = trainer.run_task, tiny(model, batch_sizes=(4,), seeds=1)

    def small_memory(study, task, *args, **options):
        if task.width > 2:
            raise trainer.jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return true_run(study, task, *args, **options)

    monkeypatch.setattr(trainer, "run_task", small_memory)
    result, _ = trained_in_threads(study, WorkFolder(tmp_path / "w"), model)
    assert result.num_trials == 3
    assert "out of memory with 3 lanes, went on with 2" in result.engine.events[0]
    assert left_in(tmp_path / "w") == []


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_trained_is_one_line(model, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("my model is broken\nand has a long story")

    monkeypatch.setattr(trainer, "run_task", broken)
    study = tiny(model, batch_sizes=(4,), seeds=1)
    with pytest.raises(
        lr_batch.StudyError, match="could not train batch size 4, seed 0: RuntimeError: my model"
    ):
        trained_in_threads(study, WorkFolder(tmp_path / "w"), model)
    assert left_in(tmp_path / "w") == []


def a_thief(folder, spoil):
    """A thread that takes every chunk and does `spoil` with it; returns how to end it."""
    ended = threading.Event()

    def steal():
        while not ended.is_set():
            for name in folder.waiting():
                if folder.take(name, {"worker": "thief"}):
                    spoil(name)
            time.sleep(0.001)

    thread = threading.Thread(target=steal)
    thread.start()
    return lambda: (ended.set(), thread.join())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("spoiled", [False, True])
def test_a_chunk_that_costs_three_workers_is_given_up(model, tmp_path, spoiled):
    """By death, or by results that are not whole. Nothing loops, and the study says what is missing."""
    study, folder, said = tiny(model, batch_sizes=(4,), seeds=1), WorkFolder(tmp_path / "w"), []
    handed = FolderHandOut(folder, Sources(f"{model}:workload", "sgd"), patience=0.0, say=said.append)

    def spoil(name):
        if spoiled:
            chunk = folder.specification(name)["chunk"]
            (folder.path / "results" / f"{chunk}.json").write_text("{}")
            folder.give_back(chunk, "thief")

    end = a_thief(folder, spoil)
    try:
        result = lr_batch.run(study, hand_out=handed)
    finally:
        end()
    assert result.num_trials == 0
    assert len(said) == 2 and all("handed out again" in line for line in said)
    (line,) = handed.given_up
    assert "batch size 4, seed 0: failed: worker died 3 times" in line and line in result.engine.events
    assert not [path for path in left_in(folder.path) if path.startswith(("chunks", "results"))]
    again, _ = trained_in_threads(study, folder, model)
    assert again.num_trials == 3


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("allow", [False, True])
def test_rows_of_other_versions_are_refused_or_marked(model, tmp_path, allow, monkeypatch):
    study, folder = tiny(model, batch_sizes=(4,), seeds=1), WorkFolder(tmp_path / "w")
    monkeypatch.setattr(hand_out, "LONELY_SECONDS", 0.0)
    monkeypatch.setattr(hand_out, "versions", lambda: "jax 0")
    handed = FolderHandOut(folder, Sources(f"{model}:workload", "sgd"), allow_mixed=allow)
    (task,) = ChunkPlan.of(study).tasks(4, 0, study.settings)
    accepted = handed.accepted(make_result(task.chunk))
    assert (accepted is not None) == allow
    assert not allow or "unlike the study" in accepted.events[-1]


@pytest.mark.usefixtures("quick")
def test_a_worker_that_must_not_train_says_so_to_the_study(model, tmp_path):
    study, folder, said = tiny(model, batch_sizes=(4,), seeds=1), WorkFolder(tmp_path / "w"), []
    handed = FolderHandOut(folder, Sources(f"{model}:workload", "sgd"), say=said.append)
    handed.trained_on = "TPU v9"
    at_work = Worker(folder, say=said.append)
    thread = threading.Thread(target=at_work.run)
    thread.start()
    try:
        late = lambda: any("leaves chunks to others" in line for line in said)
        assert list(handed(study, tasks_of(study)[:1], lambda *_: None, late)) == []
    finally:
        at_work.end()
        thread.join()
    assert any("with device TPU v9, here are cpu" in line for line in said)
    assert left_in(folder.path) == []


@pytest.mark.usefixtures("quick")
def test_a_stopped_worker_keeps_its_lanes_and_another_goes_on(model, tmp_path, monkeypatch):
    study = tiny(model, workload=sources.found("w", {"name": f"{model}:hard", "hash": file_hash(model)}))
    study = dataclasses.replace(study, batch_sizes=(1,), seeds=1, budget=4000)
    task, folder = ChunkPlan.of(study).tasks(1, 0, study.settings)[0], WorkFolder(tmp_path / "w")
    given = of_study(study, Sources(f"{model}:hard", "sgd"))
    folder.issue(name_of(0, task.chunk.id), specification(given, task, Terms()))
    first = Worker(folder, Limits(idle=0.0), slots=1)
    monkeypatch.setattr(trainer, "run_task", ended_after_a_slice(first))
    assert first.run() == 0
    assert (folder.lanes(task.chunk.id)).exists() and not list(folder.claims())
    monkeypatch.undo()
    assert Worker(folder, Limits(idle=0.0), slots=1).run() == 1
    rows = outcome.rows_of(task.chunk, folder.result(task.chunk.id))
    assert np.array_equal(rows.values, expected_rows(study, task).values, equal_nan=True)
    assert not folder.lanes(task.chunk.id).exists()


def file_hash(model):
    return sources.described("w", f"{model}:hard")["hash"]


def ended_after_a_slice(at_work):
    from lr_batch.engine import run_task

    return lambda *args, **kwargs: run_task(*args, **kwargs, on_slice=lambda status: at_work.end())


def expected_rows(study, task: Task):
    import jax

    from lr_batch.engine import run_task

    return run_task(study, task, jax.local_devices()[0], lr_batch.Programs())
