"""What the store is tried against: kills, lost power, full disks, other users, other versions."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
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

from lr_batch.engine import Checkpoint
from runs.store import Store, StoreError, probe, rebuild, schema
from runs.store.rows import event_row, study_row
from runs.write import write_atomically
from tests.runs.store_chunks import (
    IDENTITY,
    assert_nothing_wrong,
    assert_same,
    filled,
    make_chunk,
    make_result,
)


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
        store.save(chunk, Checkpoint(1, [np.zeros(3)]))
        with monkeypatch.context() as failing:
            failing.setattr(ocp.PyTreeCheckpointer, "save", mock.Mock(side_effect=ValueError("one\ntwo")))
            with pytest.raises(StoreError, match=f"{chunk.id}: the chunk in flight was not saved: one$"):
                store.save(chunk, Checkpoint(2, [np.zeros(3)]))
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
        with pytest.raises(StoreError, match=f"{chunk.id}: 1.3 MiB of free space needed"):
            store.save(chunk, Checkpoint(2, [np.zeros(2**17)]))
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
    with pytest.raises(StoreError, match="there is no such folder|no store.sqlite in it"):
        Store(tmp_path / "nothing", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_saved_is_synced_unless_asked_otherwise(tmp_path):
    for full_sync, level in ((True, 2), (False, 1)):
        with Store(tmp_path, full_sync=full_sync) as store:
            assert store._db.execute("PRAGMA synchronous").fetchone() == (level,)
            assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_newer_schema_is_refused_with_versions(tmp_path):
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 28")
    content = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreError, match='schema 28; this one knows schemas up to 3 .*"jax":.*update'):
            Store(tmp_path, read_only=read_only)
    assert path.read_bytes() == content


STUDY = IDENTITY.described() | {"seeds": 1}


def as_older(path: Path, version: int, study: str | None = None) -> None:
    """Turns a store into one as a version before would have written it."""
    with Store(path.parent, read_only=True) as store:
        chunks, trials, events = store.chunks(), store.trial_rows(), store.events
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        schema.create(db, version)
        if version == 1 and study is not None:
            db.execute("INSERT INTO studies (description) VALUES (?)", (study,))
        elif study is not None:
            row = study_row("curve", json.loads(study), "")
            db.execute("INSERT INTO studies VALUES (1, ?, ?, ?, ?, ?)", row)
        for table, rows in (("chunks", chunks), ("trials", trials)):
            marks = ", ".join("?" * (1 + len(rows[0])))
            db.executemany(f"INSERT INTO {table} VALUES ({marks})", [(n, *r) for n, r in enumerate(rows, 1)])
        columns = [(event,) if version == 1 else event_row(event) for event in events]
        marks = ", ".join("?" * (1 + len(columns[0])))
        db.executemany(f"INSERT INTO events VALUES ({marks})", [(n, *c) for n, c in enumerate(columns, 1)])
        db.commit()


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_schema_is_migrated_on_a_copy(tmp_path, monkeypatch, version):
    path = filled(tmp_path)
    with Store(tmp_path) as store:
        store.record("long ago")
        rows = store.trial_rows()
    as_older(path, version, json.dumps(STUDY))
    content = path.read_bytes()
    with Store(tmp_path, read_only=True) as store:  # reads it in memory
        assert store.description[:3] == ("curve", STUDY, "")
        assert store.trial_rows() == rows and store.damage is None
    with monkeypatch.context() as failing:
        failing.setattr(rebuild, "_copy", mock.Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(StoreError, match="No space left on device"):
            Store(tmp_path)
    assert path.read_bytes() == content
    with Store(tmp_path) as store:
        assert assert_nothing_wrong(store) == 0
        said = f"store migrated from schema {version} to 3; the original is store.sqlite.schema-{version}-1"
        assert store.events == ("long ago", said)
        assert store.description.study == STUDY
    assert version_of(path) == 3
    assert (tmp_path / f"store.sqlite.schema-{version}-1").read_bytes() == content


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
