"""What the store is tried against: kills, lost power, damage, full disks, other processes."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import orbax.checkpoint as ocp
import pytest

import runs.store.lease as lease
from lr_batch.chunk import Lanes
from runs.atomic import write_atomically
from runs.store import Store, StoreError, StoreInUse, probe, schema
from tests.runs.store_chunks import assert_leaves, assert_same, make_chunk, make_result

ROOT = Path(__file__).parents[2]
WRITERS = """
import itertools, os, sys, warnings
from runs.store import Store
from tests.runs.store_chunks import make_chunk, make_result

warnings.simplefilter("ignore")  # JAX warns about forks; these run none of it
for folder, first in map(str.split, sys.stdin):
    child = os.fork()
    if not child:
        os.write(1, b"%d\\n" % os.getpid())
        store = Store(folder)
        for batch_size in itertools.count(int(first)):
            chunk = make_chunk(batch_size)
            store.save(chunk, make_result(chunk))
            os.write(1, b"%d\\n" % batch_size)  # number and end of line at once, whenever it is killed
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


class Writers:
    """Starts one process after the other that saves chunk after chunk, acknowledging each, for ever.

    They fork from one process, since importing JAX takes longer than all they do.
    """

    def __init__(self):
        command = [sys.executable, "-c", WRITERS]
        self.origin = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, folder: Path, first: int) -> int:
        """Returns the pid once the first chunk, of batch size `first`, is acknowledged."""
        self.origin.stdin.write(f"{folder} {first}\n")
        self.origin.stdin.flush()
        pid = int(self.origin.stdout.readline())
        assert int(self.origin.stdout.readline()) == first
        return pid

    def kill(self, pid: int) -> list[int]:
        """Returns the batch sizes that were acknowledged after the first."""
        os.kill(pid, signal.SIGKILL)
        return [int(line) for line in iter(self.origin.stdout.readline, "dead\n")]

    def close(self) -> None:
        self.origin.communicate(timeout=60)


@pytest.fixture(scope="module")
def writers():
    with closing(Writers()) as started:
        yield started


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_nothing_that_was_acknowledged(tmp_path, writers, kills):
    rng, acknowledged = random.Random(0), []
    for first in range(1000, 1000 * (kills + 1), 1000):
        pid = writers.start(tmp_path, first)
        time.sleep(rng.uniform(0, 0.1))
        acknowledged += [first, *writers.kill(pid)]
    assert len(acknowledged) > kills
    with Store(tmp_path) as store:
        assert not store.verify()
        for batch_size in acknowledged:
            assert_same(store.load(make_chunk(batch_size)), make_result(make_chunk(batch_size)))
        # A chunk whose acknowledgement was killed may be there too, but only whole.
        assert len(store.trial_rows()) == 4 * len(store.chunks())
        assert len(store.chunks()) - len(acknowledged) in range(kills + 1)
        assert sum("taken over from pid" in event for event in store.events) == kills


def test_lost_power_leaves_what_was_acknowledged_before(tmp_path):
    """The files as they are at some moment, the log cut anywhere behind what was synced by then."""
    rng, folder, done = random.Random(0), tmp_path / "store", []
    with Store(folder) as store:
        stop = threading.Event()

        def write():
            for batch_size in range(1, 200):
                store.save(make_chunk(batch_size), make_result(make_chunk(batch_size)))
                done.append((batch_size, (folder / "store.sqlite-wal").stat().st_size))
                if stop.is_set():
                    return

        thread = threading.Thread(target=write)
        thread.start()
        copies = [copy_in_flight(folder, tmp_path / f"copy{i}", done, rng) for i in range(8)]
        stop.set()
        thread.join()
    for copy, acknowledged in copies:
        with Store(copy) as store:
            assert not store.verify()
            for batch_size in range(1, acknowledged + 1):
                assert_same(store.load(make_chunk(batch_size)), make_result(make_chunk(batch_size)))
            assert len(store.trial_rows()) == 4 * len(store.chunks())


def copy_in_flight(folder: Path, copy: Path, done: list, rng: random.Random) -> tuple[Path, int]:
    time.sleep(rng.uniform(0.01, 0.05))
    acknowledged, synced = done[-1] if done else (0, 0)
    copy.mkdir()
    shutil.copy(folder / "store.sqlite", copy)
    log = (folder / "store.sqlite-wal").read_bytes()
    (copy / "store.sqlite-wal").write_bytes(log[: rng.randint(synced, max(len(log), synced))])
    return copy, acknowledged


def filled(folder: Path, chunks: int = 10) -> Path:
    """A closed store with `chunks` chunks; returns its file."""
    with Store(folder, full_sync=False) as store:
        for batch_size in range(1, chunks + 1):
            store.save(make_chunk(batch_size), make_result(make_chunk(batch_size)))
    return folder / "store.sqlite"


def assert_nothing_wrong(store: Store, chunks: int = 10) -> int:
    """Every chunk is right or not done; after running the missing ones again all are right."""
    assert all(trial.batch_size <= chunks for trial in store.trials())
    missing = 0
    for batch_size in range(1, chunks + 1):
        chunk = make_chunk(batch_size)
        found = store.load(chunk)
        missing += found is None
        if found is None:
            store.save(chunk, make_result(chunk))
        assert_same(store.load(chunk), make_result(chunk))
    assert not store.verify()
    assert len(store.trial_rows()) == 4 * chunks
    return missing


@pytest.mark.parametrize("tries", [25, pytest.param(400, marks=pytest.mark.slow)])
def test_flipped_bits_never_become_numbers(tmp_path, tries):
    original = filled(tmp_path / "store").read_bytes()
    rng = np.random.default_rng(tries)
    opened = 0
    for i in range(tries):
        damaged = np.frombuffer(original, np.uint8).copy()
        damaged[rng.integers(len(damaged), size=1 + i % 3)] ^= np.uint8(1) << rng.integers(8, dtype=np.uint8)
        folder = tmp_path / f"damaged{i}"
        folder.mkdir()
        (folder / "store.sqlite").write_bytes(damaged.tobytes())
        try:
            with Store(folder, full_sync=False) as store:
                assert_nothing_wrong(store)
                opened += 1
        except StoreError as error:
            reasons = "damaged|a SQLite file|not a store|written by"
            assert re.fullmatch(f"{folder}/store.sqlite: ({reasons}).*", str(error))
        shutil.rmtree(folder)
    assert opened > 0.8 * tries


def test_damaged_names_of_columns_are_restored(tmp_path):
    path = filled(tmp_path)
    for name, damaged in ((b"checksum", b"checkxum"), (b"PRIMARY", b"PRIMAR`"), (b"CREATE", b"CREATF")):
        path.write_bytes(path.read_bytes().replace(name, damaged))
        with pytest.raises(StoreError, match="damage.*run the study again to rescue"):
            Store(tmp_path, read_only=True)
        with Store(tmp_path) as store:
            assert assert_nothing_wrong(store) == 0
            assert "rescued 40 trials of 10 chunks" in store.events[-1]


def test_a_damaged_row_is_listed_never_read_and_runs_again(tmp_path):
    with closing(sqlite3.connect(filled(tmp_path))) as db:
        db.execute("UPDATE trials SET steps_to_goal = 1 WHERE batch_size = 3 AND lane = 3")
        db.execute("UPDATE trials SET curve = zeroblob(24) WHERE batch_size = 5 AND lane = 1")
        db.execute("UPDATE chunks SET seconds = 9 WHERE batch_size = 7")
        db.commit()
    with Store(tmp_path) as store:
        assert [str(bad) for bad in store.verify()] == [
            "chunks row 7 (batch size 7, seed 0) is damaged",
            "trials row 12 (batch size 3, seed 0) is damaged",
            "trials row 18 (batch size 5, seed 0) is damaged",
        ]
        assert len(list(store.trials())) == 38
        assert assert_nothing_wrong(store) == 3


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_gives_what_is_left_of_it(tmp_path, part):
    path = filled(tmp_path)
    size = int(path.stat().st_size * part)
    os.truncate(path, size)
    try:
        with Store(tmp_path) as store:
            assert assert_nothing_wrong(store) > 0
            assert size == 0 or "damaged" in store.events[0]
    except StoreError as error:
        assert "damaged beyond reading" in str(error) and part == 0.1
    if size:
        assert size in {path.stat().st_size for path in tmp_path.iterdir()}, "the damaged file is kept"


def test_a_file_of_somebody_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match="not a store of lr-batch"):
        Store(tmp_path)
    assert path.read_bytes() == b"garbage" * 1000
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (x)")
    with pytest.raises(StoreError, match="SQLite file, but not of lr-batch"):
        Store(tmp_path)


def test_a_truncated_checkpoint_falls_back_to_the_one_before(tmp_path):
    chunk, carry = make_chunk(), {"w": np.arange(1000.0), "n": np.int32(3)}
    with Store(tmp_path) as store:
        for step in (10, 20):
            store.save(chunk, Lanes(step, carry))
        newest = tmp_path / "lanes" / chunk.id / "000002"
        for path in [path for path in newest.rglob("*") if path.is_file()]:
            content = path.read_bytes()
            for damaged in {content[: len(content) // 2], content[:-1]} - {content}:
                path.write_bytes(damaged)
                assert_leaves(store.load(chunk), 10, carry)
            path.write_bytes(content)
        assert store.load(chunk).step == 20
        (newest / "manifest.ocdbt").unlink()
        (newest.parent / "000001" / "checksums.json").unlink()
        assert store.load(chunk) is None


def test_flipped_bits_in_a_checkpoint_are_noticed(tmp_path):
    chunk, carry = make_chunk(), {"w": np.random.default_rng(0).random(1000)}
    with Store(tmp_path) as store:
        for step in (10, 20):
            store.save(chunk, Lanes(step, carry))
        newest = tmp_path / "lanes" / chunk.id / "000002"
        largest = max((path for path in newest.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 4
        largest.write_bytes(content)
        assert_leaves(store.load(chunk), 10, carry)


def test_a_checkpoint_that_was_being_written_is_invisible(tmp_path):
    chunk = make_chunk()
    with Store(tmp_path) as store:
        folder = tmp_path / "lanes" / chunk.id
        for name in (".writing", ".writing.orbax-checkpoint-tmp"):
            (folder / name).mkdir(parents=True)
            (folder / name / "half").write_bytes(b"x")
        assert store.load(chunk) is None
        store.save(chunk, Lanes(1, [np.zeros(3)]))
        assert store.load(chunk).step == 1
        assert [path.name for path in folder.iterdir()] == ["000001"]


def test_a_full_disk_rolls_back_and_says_so(tmp_path):
    with Store(tmp_path) as store:
        store.save(make_chunk(1), make_result(make_chunk(1)))
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="store.sqlite: database or disk is full; .*free some space"):
            for batch_size in range(2, 100):
                store.save(make_chunk(batch_size), make_result(make_chunk(batch_size)))
        assert len(store.trial_rows()) == 4 * len(store.chunks())
        store._db.execute("PRAGMA max_page_count = 100000")
        assert store.load(make_chunk(batch_size)) is None
        store.save(make_chunk(batch_size), make_result(make_chunk(batch_size)))
        assert not store.verify()


def test_too_little_space_is_found_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "NEED", 10**18)
    with pytest.raises(StoreError, match=r"MiB of free space needed, \d+\.\d MiB left"):
        Store(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_lanes_that_do_not_fit_leave_the_checkpoint_before(tmp_path, monkeypatch):
    chunk = make_chunk()
    with Store(tmp_path) as store:
        store.save(chunk, Lanes(1, [np.zeros(3)]))
        with monkeypatch.context() as failing:
            failing.setattr(ocp.PyTreeCheckpointer, "save", mock.Mock(side_effect=ValueError("one\ntwo")))
            with pytest.raises(StoreError, match=f"{chunk.id}: the chunk in flight was not saved: one$"):
                store.save(chunk, Lanes(2, [np.zeros(3)]))
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
        with pytest.raises(StoreError, match=f"{chunk.id}: 1.3 MiB of free space needed"):
            store.save(chunk, Lanes(2, [np.zeros(2**17)]))
        assert store.load(chunk).step == 1
        assert [path.name for path in (tmp_path / "lanes" / chunk.id).iterdir()] == ["000001"]


@contextmanager
def folder_of_another_user():
    """A folder in which this process may read but not write, root or not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        yield folder, (lambda: os.seteuid(65534) if root else folder.chmod(0o555))
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_folder_without_permission_can_be_read_but_not_written():
    with folder_of_another_user() as (folder, give_up_rights):
        filled(folder)
        for path in folder.iterdir():
            path.chmod(0o444)
        give_up_rights()
        with pytest.raises(StoreError, match=f"{folder}: Permission denied; a writable folder is needed"):
            Store(folder)
        with Store(folder, read_only=True) as store:
            assert_same(store.load(make_chunk(3)), make_result(make_chunk(3)))


def test_a_file_in_the_way_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file/store: Not a directory; a writable folder is needed"):
        Store(tmp_path / "file" / "store")


def test_reading_what_is_not_there(tmp_path):
    with pytest.raises(StoreError, match="no such store"):
        Store(tmp_path / "nothing", read_only=True)
    assert list(tmp_path.iterdir()) == []


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


def test_what_is_saved_is_synced_unless_asked_otherwise(tmp_path):
    for full_sync, level in ((True, 2), (False, 1)):
        with Store(tmp_path, full_sync=full_sync) as store:
            assert store._db.execute("PRAGMA synchronous").fetchone() == (level,)
            assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def leave_lease(folder: Path, owner: lease.Owner) -> None:
    """The lease as `owner` would leave it behind, with no lock."""
    Store(folder).close()
    with closing(sqlite3.connect(folder / "lease.sqlite")) as db:
        db.execute("INSERT INTO lease VALUES (1, ?, ?, ?, ?)", owner)
        db.commit()


def test_a_living_owner_counts_even_where_locks_do_not_work(tmp_path):
    parent = os.getppid()
    leave_lease(tmp_path, lease.this_process()._replace(pid=parent, started=lease.started(parent)))
    with pytest.raises(StoreInUse, match=f"in use by pid {parent}"):
        Store(tmp_path)


def test_a_lease_that_could_not_be_cleared_does_not_lock_its_owner_out(tmp_path):
    leave_lease(tmp_path, lease.this_process())
    with Store(tmp_path) as store:
        assert store.events == ()


@pytest.mark.parametrize(
    "change", [{"started": "another boot:1"}, {"pid": 2**22 + 1}, {"host": "elsewhere"}], ids=str
)
def test_a_lease_is_taken_over_from_who_is_gone(tmp_path, change):
    """Also from a process whose pid belongs to a later one by now."""
    leave_lease(tmp_path, lease.this_process()._replace(**change))
    with Store(tmp_path) as store:
        assert "taken over from pid" in store.events[0]


def test_a_process_that_was_not_collected_is_dead():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert lease.started(child.pid) is None
    child.wait()
    assert lease.started(os.getpid()) == lease.started(os.getpid())


def test_a_damaged_lease_says_what_to_do(tmp_path):
    (tmp_path / "lease.sqlite").write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match="lease.sqlite: file is not a database; delete this file"):
        Store(tmp_path)


def test_a_newer_schema_is_refused_with_versions(tmp_path):
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 7")
    content = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreError, match='schema 7; this one knows schemas up to 1 .*"jax":.*update'):
            Store(tmp_path, read_only=read_only)
    assert path.read_bytes() == content


def test_an_older_schema_is_migrated_on_a_copy(tmp_path, monkeypatch):
    path = filled(tmp_path)
    monkeypatch.setattr(schema, "VERSION", 3)
    monkeypatch.setattr(schema, "MIGRATIONS", {1: "CREATE TABLE a (x);", 2: "CREATE TABLE b (x); garbage;"})
    with pytest.raises(StoreError, match="syntax error"):
        Store(tmp_path)
    assert version_of(path) == 1
    with pytest.raises(StoreError, match="with schema 1, this lr-batch reads schema 3; run the study"):
        Store(tmp_path, read_only=True)
    monkeypatch.setitem(schema.MIGRATIONS, 2, "CREATE TABLE b (x);")
    with Store(tmp_path) as store:
        assert assert_nothing_wrong(store) == 0
        assert store.events == (
            "store migrated from schema 1 to 3; the original is store.sqlite.schema-1-1",
        )
        store._db.execute("SELECT x FROM b")
    assert version_of(path) == 3
    assert version_of(tmp_path / "store.sqlite.schema-1-1") == 1


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def test_an_atomic_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]
    write_atomically(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"new"]
