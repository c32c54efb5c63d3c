"""What a folder of workers holds, told from another terminal without touching it."""

from __future__ import annotations

import io
import json
import os

import pytest

from runs.__main__ import main
from runs.process import host
from runs.status.work_folder import watch_work_folder
from runs.store import Store, StoreError
from runs.workers import documents
from runs.workers.folder import WorkFolder, name_of
from runs.workers.inventory import DONE, FAILED, TRAINING, WAITING, inventory
from runs.workers.pulse import Pulse


def chunk(number):
    return f"{number:016x}"


def specification(number):
    return {
        "chunk": chunk(number),
        "identity": {"workload": "tiny", "optimizer": "sgd"},
        "batch_size": 64,
        "seed": number,
        "settings": [{"learning_rate": 0.1}] * 3,
    }


@pytest.fixture
def folder(tmp_path):
    """Chunk 1 waits and has cost a worker, 2 is trained, 3 is done, 4 has failed; another worker trains nothing."""
    folder = WorkFolder(tmp_path / "chunks")
    for number in (1, 2, 3, 4):
        folder.issue(name_of(number, chunk(number)), specification(number))
    folder.count_death(chunk(1))
    about = {"device": "cpu", "versions": "1", "slots": 1}
    with Pulse(folder, about) as busy, Pulse(folder, about) as idle:
        folder.take(name_of(2, chunk(2)), busy.claim)
        for number, result in ((3, {"rows": {}}), (4, {"failed": "a loss that is not finite"})):
            folder.take(name_of(number, chunk(number)), busy.claim)
            folder.deliver(chunk(number), busy.token, {"chunk": chunk(number), **result})
        idle.say({"refuses": "another version"})
        yield folder


def test_every_chunk_is_where_it_is(folder, capsys):
    found = inventory(folder.path)
    assert {one.id: one.state for one in found.chunks} == {
        chunk(1): WAITING,
        chunk(2): TRAINING,
        chunk(3): DONE,
        chunk(4): FAILED,
    }
    assert main(["status", str(folder.path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 waiting, 1 in training, 1 done and not yet stored by their study, 1 failed" in said
    assert "tiny with sgd: 4 chunks at batch sizes 64" in said
    pid = os.getpid()
    assert f"batch size 64, seed 2 (3 trials): worker pid {pid} on {host().split()[0]} (cpu)" in said
    assert "seed 4 (3 trials): failed: a loss that is not finite" in said
    assert "seed 1 (3 trials): waiting again; 1 worker died with it" in said
    assert "leaves chunks to others: another version" in said and "no worker takes" not in said


def test_as_json(folder, capsys):
    assert main(["status", str(folder.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "workers" and told["chunks"] == {
        state: 1 for state in (WAITING, TRAINING, DONE, FAILED)
    }
    assert len(told["workers"]) == 2 and told["found"][0]["deaths"] == 1


def test_nothing_is_written_by_looking(folder):
    kept = lambda: {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    before = kept()
    assert main(["status", str(folder.path)]) == 0
    assert kept() == before


def test_a_worker_that_is_gone_is_said_to_be(folder, capsys):
    claim = {"worker": "nobody", "pid": 1, "host": "elsewhere", "started": "", "since": ""}
    documents.write_quickly(folder.path / "claims" / f"{chunk(1)}.json", claim)
    assert main(["status", str(folder.path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "seed 1 (3 trials): a worker that is gone; its study hands it out again; 1 worker died with it"
        in said
    )


@pytest.mark.parametrize("place", ["chunks", "claims", "results", "workers"])
def test_damaged_files_are_counted_and_end_nothing(folder, place):
    for path in (folder.path / place).glob("*.json"):
        path.write_text("[")
    assert len(inventory(folder.path).chunks) == 4
    assert main(["status", str(folder.path)]) == 0


def test_watching_ends_when_nothing_is_left(folder):
    out = io.StringIO()

    def sleep(_):
        for place in ("chunks", "claims", "results", "dead", "workers"):
            for path in (folder.path / place).glob("*.json"):
                path.unlink()

    assert not watch_work_folder(folder.path, out, sleep).chunks
    said = " ".join(out.getvalue().split())
    assert "1 in training" in said and "empty, no study hands out chunks" in said
    assert "no worker takes chunks" in said


def test_commands_for_results_say_what_the_folder_is(folder):
    with pytest.raises(StoreError, match="holds chunks for workers"):
        Store(folder.path, read_only=True)
