"""Chunks as files, and the processes that train them: the same rows as in one process, whatever dies."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from command_line import MODEL, ROOT, command
from store_chunks import assert_same, make_chunk, make_result
from worker_processes import left_in, worker_processes

import lr_batch
from lr_batch.engine import ChunkPlan, Identity, Task
from runs import write
from runs.store import Store
from runs.workers import documents, hand_out, outcome, pulse, sources, trainer, worker
from runs.workers.errors import Damaged, NotAWorkFolder, Unfit
from runs.workers.folder import WorkFolder, name_of
from runs.workers.hand_out import FolderHandOut
from runs.workers.pulse import Pulse, Watch
from runs.workers.specification import PLAIN, Sources, Terms, of_study, specification, study_of, task_of
from runs.workers.worker import Limits, Worker

GRID = {"batch_sizes": (1, 4), "space": {"learning_rate": (0.1, 0.3, 1.0)}, "seeds": 2}
STUDY = ("--batch-sizes", "1,4", "--learning-rates", "0.1,0.3,1", "--seeds", "2", "--no-extend")


@pytest.fixture
def model(tmp_path):
    (tmp_path / "my.py").write_text(MODEL)
    return f"{tmp_path}/my.py"


@pytest.fixture
def quick(monkeypatch):
    """No waiting between looks."""
    monkeypatch.setattr(hand_out, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(hand_out, "LOOK_SECONDS", (0.001, 0.01))
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)


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


# The specification.


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"goal": "error<0.5", "budget": "10epochs", "slack": float("inf"), "reached": "first"},
        {"evaluation_share": 0.125, "evaluation_growth": 0.2},
        {
            "schedule": "cosine",
            "space": {"learning_rate": (0.1, 1.0), "decay_steps": ("50%",), "warmup": ("5%",)},
        },
        {
            "regularizer": "l2",
            "optimizer": "momentum",
            "space": {"learning_rate": (0.1,), "momentum": (0.9,)},
        },
    ],
)
def test_a_specification_is_the_study_again(model, changes):
    study = tiny(model, **changes)
    given = Sources(f"{model}:workload", study.optimizer.name)
    task = ChunkPlan.of(study).tasks(4, 1, study.settings, first=17.5)[0]
    said = json.loads(json.dumps(specification(of_study(study, given), task, Terms())))
    assert task_of(said) == task
    again = study_of(said, task.chunk.identity)
    assert Identity.of(again, 3, "vmap") == Identity.of(study, 3, "vmap")
    for field in (
        "batch_sizes",
        "space",
        "goal",
        "budget",
        "slack",
        "schedule",
        "regularizer",
        *PLAIN,
    ):
        assert getattr(again, field) == getattr(study, field), field


def test_a_changed_specification_is_refused(model):
    study = tiny(model)
    said = specification(of_study(study, Sources("digits_mlp", "sgd")), tasks_of(study)[0], Terms())
    with pytest.raises(Damaged, match="holds another one"):
        task_of({**said, "seed": 5})


def test_a_worker_refuses_what_is_another_study_for_it(model, tmp_path):
    study = tiny(model)
    task = tasks_of(study)[0]
    said = specification(of_study(study, Sources(f"{model}:workload", "sgd")), task, Terms())
    with pytest.raises(Unfit, match="its goal is"):
        study_of({**said, "study": {**said["study"], "goal": ["loss", 0.25, False]}}, task.chunk.identity)
    (tmp_path / "my.py").write_text(MODEL + "\n")
    with pytest.raises(Unfit, match="is not the file that the study was begun with"):
        study_of(said, task.chunk.identity)
    (tmp_path / "my.py").unlink()
    with pytest.raises(Unfit, match="is not on this machine"):
        study_of(said, task.chunk.identity)


def test_results_come_back_as_they_were():
    chunk = make_chunk()
    document = json.loads(json.dumps(outcome.of_rows(chunk, make_result(chunk))))
    assert_same(outcome.rows_of(chunk, document), make_result(chunk))
    with pytest.raises(Damaged, match="cannot be read"):
        outcome.rows_of(make_chunk(rates=(0.1,)), document)


def test_a_flipped_bit_is_noticed(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "result.json"
    whole = documents.encoded(outcome.of_rows(make_chunk(), make_result(make_chunk())))
    for _ in range(200):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with pytest.raises(Damaged):
            documents.read(path)


# The folder.


def test_one_of_many_gets_a_chunk(tmp_path):
    folder, name = WorkFolder(tmp_path / "w"), name_of(0, "a" * 16)
    folder.issue(name, {"chunk": "a" * 16})
    taken, gate = [], threading.Barrier(16)

    def take(number):
        gate.wait()
        taken.append(WorkFolder(tmp_path / "w").take(name, {"worker": str(number)}))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 15 + [True]
    assert left_in(folder.path) == [f"chunks/{name}", f"claims/{'a' * 16}.json"]


def test_a_finished_chunk_is_not_taken(tmp_path):
    folder, name, chunk = WorkFolder(tmp_path / "w"), name_of(0, "a" * 16), "a" * 16
    folder.issue(name, {"chunk": chunk})
    assert folder.take(name, {"worker": "one"})
    folder.deliver(chunk, "one", {"chunk": chunk})
    assert not folder.take(name, {"worker": "two"})
    folder.forget(chunk, name)
    assert not folder.take(name, {"worker": "two"})
    assert left_in(folder.path) == []


def test_folders_that_are_something_else_are_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(NotAWorkFolder, match="holds thesis.tex, no chunks for workers"):
        WorkFolder(tmp_path / "full")
    WorkFolder(tmp_path / "open").path.chmod(0o777)
    with pytest.raises(NotAWorkFolder, match="everybody may write to it"):
        WorkFolder(tmp_path / "open")
    documents.write_surely(WorkFolder(tmp_path / "new").path / "lr-batch-workers.json", {"format": 2})
    with pytest.raises(NotAWorkFolder, match="of format 2, this lr-batch knows 1"):
        WorkFolder(tmp_path / "new")


def test_who_hands_out_needs_no_jax():
    script = "import sys, runs.workers.folder, runs.workers.pulse; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


def test_what_another_machine_is_writing_is_left_alone(tmp_path):
    """No process of this machine has it, and no other machine can be asked."""
    folder = WorkFolder(tmp_path / "w")
    elsewhere = documents.write_temporary(folder.path / "results", {})
    WorkFolder(tmp_path / "w").deliver("a" * 16, "one", {"chunk": "a" * 16})
    write.sweep(folder.path / "results", unsigned=False)
    assert elsewhere.exists() and folder.unfinished() == {elsewhere}


# Who lives.


def test_a_heartbeat_is_judged_by_its_changes_and_no_clock(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(pulse.time, "monotonic", lambda: now[0])
    folder = WorkFolder(tmp_path / "w")
    with Pulse(folder, {}, seconds=3600.0) as beating:
        path, watch = folder.worker_file(beating.token), Watch(folder, patience=10.0)
        elsewhere = {"pid": 1, "started": "then", "host": "another machine"}
        for seconds in (0.0, 9.0, 9.0):
            now[0] += seconds
            os.utime(path, (1e9 - now[0], 1e9 - now[0]))  # its clock is years behind and goes backwards
            assert not watch.is_dead(beating.token, elsewhere)
        now[0] += 11.0
        assert watch.is_dead(beating.token, elsewhere)
        here = dict(folder.workers())[beating.token]
        assert not Watch(folder).is_dead(beating.token, here)
        assert Watch(folder).is_dead(beating.token, {**here, "started": "before"})
    assert Watch(folder).is_dead(beating.token, here)


# Handing out.


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
    handed = FolderHandOut(folder, Sources(f"{model}:workload", "sgd"), say=said.append)

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


# Plain processes.


@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_third_of_the_workers_is_killed(model, tmp_path, capsys, kills, monkeypatch):
    """SIGKILL while they hold a chunk: the rows are those of one process, bit for bit, and nothing is left behind."""
    monkeypatch.setattr(hand_out, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr("runs.curve.figures.FIGURES", {})  # they take longer than the training
    monkeypatch.setattr("runs.curve.report.write_report", lambda *args: None)
    study = ("curve", f"{model}:hard", *STUDY)
    assert command(capsys, *study, "--out", tmp_path / "here")[0] == 0
    with worker_processes(tmp_path / "w") as workers:
        for _ in range(3 * kills):
            workers.start()
        killed = []
        killer = threading.Thread(
            target=lambda: killed.extend(workers.kill_one_at_work() for _ in range(kills)), daemon=True
        )
        killer.start()
        there = (*study, "--out", tmp_path / "there", "--workers-dir", tmp_path / "w")
        code, _, said = command(capsys, *there)
        killer.join(timeout=60)
    assert (code, len(killed)) == (0, kills), said
    assert said.count("handed out again, its worker died") >= 1, said
    assert rows_in(tmp_path / "there") == rows_in(tmp_path / "here")
    assert left_in(tmp_path / "w") == []


def test_what_is_typed_wrongly_is_one_line(model, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    wrong = {
        ("curve", "--allow-mixed"): "--allow-mixed: is for studies that others train",
        ("curve", "--allow-mixed", "--optimizer", "adam"): "give --workers-dir or --ray too",
        ("curve", "--workers-dir", f"{tmp_path}/full"): "holds a, no chunks for workers",
        ("worker", f"{tmp_path}/w", "--slots", "0"): "--slots: must be at least 1, got 0",
        ("worker", f"{tmp_path}/w", "--time-limit", "soon"): "--time-limit: must look like 30m",
    }
    for typed, line in wrong.items():
        code, _, said = command(capsys, *typed)
        assert (code, said.count("\n")) == (2, 1) and line in said, said
