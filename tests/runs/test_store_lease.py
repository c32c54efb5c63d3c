"""Who holds a store, and when it is taken over."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import runs.process as process
from runs.store import Store, StoreError, StoreInUse
from tests.runs.store_chunks import assert_same, make_chunk, make_result


def test_a_second_process_is_told_who_holds_the_store(tmp_path, writers):
    pid = writers.start(tmp_path, 1)
    try:
        with pytest.raises(StoreInUse, match=rf"in use by pid {pid} since \d{{4}}-"):
            Store(tmp_path)
        with Store(tmp_path, read_only=True) as reader:
            assert_same(reader.load(make_chunk(1)), make_result(make_chunk(1)))
        os.kill(pid, signal.SIGSTOP)  # a stopped process still holds it
        with pytest.raises(StoreInUse):
            Store(tmp_path)
    finally:
        writers.kill(pid)
    with Store(tmp_path) as store:
        assert f"pid {pid}" in store.events[0]


def test_a_fork_of_the_owner_does_not_give_the_folder_free(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        _, close, arguments, _ = store._finalizer.peek()
        with monkeypatch.context() as forked:
            forked.setattr(os, "getpid", lambda: 1)
            close(*arguments)
        with pytest.raises(StoreInUse):
            Store(tmp_path)


def leave_lease(folder: Path, owner: process.Owner) -> None:
    """The lease as `owner` would leave it behind, with no lock."""
    Store(folder).close()
    with closing(sqlite3.connect(folder / "lease.sqlite")) as db:
        db.execute("INSERT INTO lease VALUES (1, ?, ?, ?, ?)", owner)
        db.commit()


def test_a_living_owner_counts_even_where_locks_do_not_work(tmp_path):
    parent = os.getppid()
    leave_lease(tmp_path, process.this_process()._replace(pid=parent, started=process.started(parent)))
    with pytest.raises(StoreInUse, match=f"in use by pid {parent}"):
        Store(tmp_path)


def test_a_lease_that_could_not_be_cleared_does_not_lock_its_owner_out(tmp_path):
    leave_lease(tmp_path, process.this_process())
    with Store(tmp_path) as store:
        assert store.events == ()


@pytest.mark.parametrize(
    "change", [{"started": "another boot:1"}, {"pid": 2**22 + 1}, {"host": "elsewhere"}], ids=str
)
def test_a_lease_is_taken_over_from_who_is_gone(tmp_path, change):
    """Also from a process whose pid belongs to a later one by now."""
    leave_lease(tmp_path, process.this_process()._replace(**change))
    with Store(tmp_path) as store:
        assert "taken over from pid" in store.events[0]


def test_a_process_that_was_not_collected_is_dead():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.started(child.pid) is None
    child.wait()
    assert process.started(os.getpid()) == process.started(os.getpid())


def test_a_damaged_lease_says_what_to_do(tmp_path):
    (tmp_path / "lease.sqlite").write_bytes(b"garbage" * 1000)
    with pytest.raises(
        StoreError,
        match="lease.sqlite: file is not a database; .*: delete what there is",
    ):
        Store(tmp_path)
