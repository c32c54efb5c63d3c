"""Workers that are lost, late, stopped or strange: no chunk waits for ever, none is taken from the living."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import threading
import time

import jax
import numpy as np
import pytest
from command_line import command
from handed_out import STUDY, tasks_of, tiny, trained_in_threads
from store_chunks import make_chunk, make_result
from worker_processes import left_in

from lr_batch.engine import Task
from runs import process
from runs.process import this_process
from runs.workers import documents, hand_out, outcome, pulse, trainer
from runs.workers.errors import Damaged, NotAWorkFolder, Unfit, WorkersError
from runs.workers.folder import WorkFolder, name_of
from runs.workers.hand_out import FolderHandOut
from runs.workers.pulse import Pulse, Watch
from runs.workers.specification import Sources, Terms, of_study, specification, study_of
from runs.workers.trainer import Job, Trainer
from runs.workers.worker import Limits, Worker

CHUNKS = {chunk.id: chunk for chunk in (make_chunk(size) for size in (1, 2, 3))}
TASKS = [Task(chunk, 4) for chunk in CHUNKS.values()]
NAME, CHUNK = name_of(0, "a" * 16), "a" * 16


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(hand_out, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(hand_out, "of_study", lambda *study: {})
    return WorkFolder(tmp_path / "w")


@contextlib.contextmanager
def working(folder, train):
    """A worker in a thread, that calls `train(pulse, specification)` with each chunk that it takes."""
    ended = threading.Event()

    def work():
        with Pulse(folder, {}) as beating:
            while not ended.is_set():
                for name in folder.waiting():
                    said = folder.specification(name)
                    if said and folder.take(name, beating.claim):
                        train(beating, said)
                time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def handed(folder, trained_on=None, **options):
    """What a study gets that hands its chunks out, by the number of the chunk."""
    study, end = FolderHandOut(folder, Sources("", ""), **options), time.monotonic() + 30
    study.trained_on = trained_on
    found = study(None, TASKS, lambda *_: None, lambda: time.monotonic() > end)
    return {chunk.id: rows for chunk, rows in found}


def deliver(folder, beating, said, **changes):
    chunk = CHUNKS[said["chunk"]]
    document = outcome.of_rows(chunk, make_result(chunk))
    document["rows"] |= changes
    folder.deliver(chunk.id, beating.token, document)


@pytest.mark.parametrize("damage", ["cut", "of another", "empty"])
def test_a_specification_that_is_damaged_while_it_waits_is_put_up_again(folder, damage):
    true_issue, spoiled = folder.issue, []

    def issue(name, said):
        true_issue(name, said)
        if not spoiled:
            spoiled.append(name)
            path = folder.path / "chunks" / name
            whole = path.read_bytes()
            other = documents.encoded({**said, "chunk": "b" * 16})
            path.write_bytes({"cut": whole[:-9], "of another": other, "empty": b""}[damage])

    folder.issue = issue
    with working(folder, functools.partial(deliver, folder)):
        assert handed(folder).keys() == CHUNKS.keys()
    assert left_in(folder.path) == []


def test_what_somebody_else_has_laid_among_the_chunks_stays(folder):
    path = folder.path / "chunks" / "notes.json"
    path.write_text("mine")
    assert folder.specification("notes.json") is None and path.exists()


def test_a_claim_that_is_seen_before_its_worker_is_not_that_of_a_dead_one(folder, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(pulse.time, "monotonic", lambda: now[0])
    watch = Watch(folder, patience=10.0)
    claim = {**this_process()._asdict(), "worker": "new", "host": "another machine"}
    assert not watch.has_lost(claim)
    now[0] += 9.0
    assert not watch.has_lost(claim)
    with Pulse(folder, {}, seconds=3600.0) as beating:
        assert not watch.is_dead(beating.token, claim)  # counts from when its file is seen
        now[0] += 9.0
        assert not watch.has_lost({**claim, "worker": beating.token})
        assert watch.has_lost(claim)  # eighteen seconds without a file
    assert watch.has_lost({"worker": ""})


def test_machines_of_one_name_and_workers_of_one_number_are_told_apart(folder):
    """Cloned machines share the name, and the first process of a container is number 1 on each of them."""
    watch, here = Watch(folder), {**this_process()._asdict(), "worker": "one"}
    elsewhere = {**here, "started": "0123-of-another-start:4711"}
    ended = {**here, "pid": 2**22 + 1}
    assert not watch.has_lost(here)
    assert not watch.has_lost({**elsewhere, "worker": "two"})
    assert not watch.has_lost({**here, "started": "", "worker": "three"})
    assert watch.has_lost({**ended, "worker": "four"})


def test_a_process_of_another_user_may_be_hidden(monkeypatch):
    owner = this_process()._replace(pid=os.getppid(), started=f"{process._boot()}:1")
    monkeypatch.setattr(process, "started", lambda pid: None)
    assert process.has_ended(owner)

    def refuse(pid, number):
        raise PermissionError

    monkeypatch.setattr(process.os, "kill", refuse)
    assert not process.has_ended(owner)


def test_who_was_stopped_and_delivers_late_leaves_nothing(folder):
    folder.issue(NAME, {"chunk": CHUNK})
    folder.take(NAME, {"worker": "stopped"})
    assert folder.bury(CHUNK) and folder.take(NAME, {"worker": "second"})
    folder.deliver(CHUNK, "second", {"chunk": CHUNK})
    folder.forget(CHUNK, NAME)
    folder.lanes(CHUNK).mkdir()
    folder.deliver(CHUNK, "stopped", {"chunk": CHUNK})
    assert left_in(folder.path) == [] and not folder.lanes(CHUNK).exists()


class Trained:
    """A trainer that takes no time; `document` is called with the worker's folder and the chunk."""

    def __init__(self, document):
        self.document = lambda job, device, store, is_late: document(job.task.chunk)

    def job(self, said, device):
        return Job(None, Task(CHUNKS[said["chunk"]], 4))


def at_work(folder, document):
    found = Worker(folder, Limits(idle=0.0), slots=1)
    found.trainer = Trained(document)
    return found


def test_a_full_disk_costs_no_chunk_its_claim(folder, monkeypatch):
    task, true_write = TASKS[0], documents.write_surely
    folder.issue(name_of(0, task.chunk.id), {"chunk": task.chunk.id})

    def full(path, document):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    rows = lambda chunk: outcome.of_rows(chunk, make_result(chunk))
    first = at_work(folder, rows)
    monkeypatch.setattr(documents, "write_surely", full)
    with pytest.raises(OSError, match="No space left"):
        first.run()
    assert left_in(folder.path) == [f"chunks/{name_of(0, task.chunk.id)}"]
    monkeypatch.setattr(documents, "write_surely", true_write)
    assert at_work(folder, rows).run() == 1


def test_a_broken_device_ends_its_worker_and_not_the_study(folder):
    task = TASKS[0]
    folder.issue(name_of(0, task.chunk.id), {"chunk": task.chunk.id})
    broken = at_work(folder, lambda chunk: outcome.of_death(chunk.id, "CUDA_ERROR_ECC_UNCORRECTABLE"))
    with pytest.raises(WorkersError, match="ECC_UNCORRECTABLE; the chunk is left to other workers"):
        broken.run()
    said = []
    with working(folder, functools.partial(deliver, folder)):
        got = handed(folder, say=said.append)
    assert len(got) == 3 and sum("its process died (CUDA_ERROR_ECC" in line for line in said) == 1
    assert left_in(folder.path) == []


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        ("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access", "died"),
        ("UNAVAILABLE: connection reset", "died"),
        ("RESOURCE_EXHAUSTED: Out of memory: CUDA_ERROR_OUT_OF_MEMORY", "failed"),
        ("INTERNAL: CpuCallback error: my own mistake", "failed"),
    ],
)
def test_failures_of_a_device_are_told_from_those_of_a_model(monkeypatch, raised, kind):
    def fail(*args, **options):
        raise jax.errors.JaxRuntimeError(raised)

    monkeypatch.setattr(trainer, "run_task", fail)
    assert kind in Trainer().document(Job(None, TASKS[0]), jax.devices()[0])


def test_a_result_of_another_chunk_is_trained_again(folder):
    wrong, said = [], []

    def mix_up(beating, asked):
        if not wrong:
            wrong.append(asked["chunk"])
            other = next(chunk for chunk in CHUNKS.values() if chunk.id != asked["chunk"])
            path = folder.path / "results" / f"{asked['chunk']}.json"
            path.write_bytes(documents.encoded(outcome.of_rows(other, make_result(other))))
            folder.give_back(asked["chunk"], beating.token)
        else:
            deliver(folder, beating, asked)

    with working(folder, mix_up):
        got = handed(folder, say=said.append)
    assert len(said) == 1 and "of another chunk" in said[0]
    for chunk, rows in got.items():
        np.testing.assert_array_equal(rows.values, make_result(CHUNKS[chunk]).values)


def test_two_studies_of_which_one_takes_other_devices(folder):
    """The rows of another device are marked in one and trained again for the other."""
    got = {}

    def train(beating, said):
        deliver(folder, beating, said, device="tpu" if said["terms"]["versions"] is None else "cpu")

    def study(name, **options):
        got[name] = handed(folder, "cpu", **options)

    with working(folder, train):
        strict = threading.Thread(target=study, args=("strict",))
        strict.start()
        study("mixed", allow_mixed=True)
        strict.join()
    assert [len(found) for found in got.values()] == [3, 3]
    assert {rows.device for rows in got["strict"].values()} == {"cpu"}
    assert all(rows.device == "cpu" or rows.events for rows in got["mixed"].values())
    assert left_in(folder.path) == []


def test_a_shared_folder_that_is_deleted_ends_both_sides(folder):
    """With an error that names it, which the command line tells in one line."""
    remove = lambda *_: shutil.rmtree(folder.path, ignore_errors=True)
    folder.issue(name_of(0, TASKS[0].chunk.id), {"chunk": TASKS[0].chunk.id})
    with pytest.raises(FileNotFoundError, match=str(folder.path)):
        at_work(folder, remove).run()
    again = WorkFolder(folder.path)
    timer = threading.Timer(0.1, remove)
    timer.start()
    with pytest.raises(FileNotFoundError, match=str(folder.path)):
        handed(again)
    timer.join()


@pytest.mark.parametrize(
    "data", [b'{"a":NaN,"checksum":"x"}', b'{"a":1e999,"checksum":"x"}', b"[1]", b"\xff"]
)
def test_a_document_that_is_none_is_damaged(data):
    with pytest.raises(Damaged):
        documents.decoded(data, "here")


def test_a_file_that_was_swept_away_before_its_rename_is_written_again(folder, monkeypatch):
    true_write, lost = documents.write_temporary, []

    def swept(place, document, *, synced=False):
        temporary = true_write(place, document, synced=synced)
        if not lost:
            lost.append(temporary)
            temporary.unlink()
        return temporary

    monkeypatch.setattr(documents, "write_temporary", swept)
    folder.issue(NAME, {"chunk": CHUNK})
    assert folder.specification(NAME) == {"chunk": CHUNK} and lost
    lost.clear()
    assert not folder.take(NAME, {"worker": "one"}) and folder.take(NAME, {"worker": "one"})


def test_a_folder_that_another_process_is_making_is_none_of_a_stranger(tmp_path):
    """All jobs of an array begin at once."""
    (tmp_path / "w").mkdir()
    documents.write_temporary(tmp_path / "w", {})
    (tmp_path / "w" / "chunks").mkdir()
    WorkFolder(tmp_path / "w").issue(NAME, {"chunk": CHUNK})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".profile.part").write_text("")
    with pytest.raises(NotAWorkFolder, match=r"holds .profile.part"):
        WorkFolder(tmp_path / "other")


def test_a_folder_inside_that_everybody_may_write_to_is_refused(folder):
    (folder.path / "chunks").chmod(0o777)
    with pytest.raises(NotAWorkFolder, match="chunks: everybody may write to it"):
        WorkFolder(folder.path)


def test_a_folder_of_workers_is_no_folder_of_results(model, tmp_path, capsys):
    typed = ("curve", f"{model}:workload", *STUDY, "--out", tmp_path / "w", "--workers-dir", tmp_path / "w")
    code, _, said = command(capsys, *typed)
    assert (code, said.count("\n")) == (2, 1) and "is a folder of workers (--workers-dir)" in said


def test_a_specification_of_another_version_is_left_to_others(model):
    study = tiny(model)
    said = specification(of_study(study, Sources(f"{model}:workload", "sgd")), tasks_of(study)[0], Terms())
    for lost in ("terms", "study"):
        with pytest.raises(Unfit, match="cannot be read here"):
            Trainer().job({name: value for name, value in said.items() if name != lost}, jax.devices()[0])


def test_programs_of_two_platforms_differ_and_mixed_studies_take_both(model):
    """The program is lowered for a platform: the draws of a GPU are another instruction than those of a CPU."""
    study = tiny(model)
    given, task = of_study(study, Sources(f"{model}:workload", "sgd")), tasks_of(study)[0]
    lowered_elsewhere = task.chunk.identity._replace(program="0" * 16)
    said = lambda *terms: specification(given, task, Terms(*terms))
    assert study_of(said(None, None, "tpu"), lowered_elsewhere)
    for terms in ((None, None, jax.default_backend()), ("any", None, "tpu")):
        with pytest.raises(Unfit, match="its program is"):
            study_of(said(*terms), lowered_elsewhere)


@pytest.mark.usefixtures("quick")
def test_a_study_that_takes_any_device_gives_the_same_rows_on_its_own(model, tmp_path):
    study = tiny(model, batch_sizes=(4,), seeds=1)
    result, said = trained_in_threads(study, WorkFolder(tmp_path / "w"), model, allow_mixed=True)
    assert (result.num_trials, said, result.engine.events) == (3, [], ())
