"""The folder that chunks are handed out by: one of many gets a chunk, and who is dead is noticed without clocks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from command_line import ROOT
from worker_processes import left_in

from runs import write
from runs.workers import documents, pulse
from runs.workers.errors import NotAWorkFolder
from runs.workers.folder import WorkFolder, name_of
from runs.workers.pulse import Pulse, Watch


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
    script = "import sys, runs.workers.folder, runs.workers.inventory, runs.workers.pulse; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


def test_what_another_machine_is_writing_is_left_alone(tmp_path):
    """No process of this machine has it, and no other machine can be asked."""
    folder = WorkFolder(tmp_path / "w")
    elsewhere = documents.write_temporary(folder.path / "results", {})
    WorkFolder(tmp_path / "w").deliver("a" * 16, "one", {"chunk": "a" * 16})
    write.sweep(folder.path / "results", unsigned=False)
    assert elsewhere.exists() and folder.unfinished() == {elsewhere}


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
        assert Watch(folder).is_dead(beating.token, {**here, "started": f"{here['started']}0"})
    assert Watch(folder).is_dead(beating.token, here)
