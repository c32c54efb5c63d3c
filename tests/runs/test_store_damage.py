"""Files of a store that are damaged: nothing wrong is ever read."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from lr_batch.engine import Checkpoint
from runs.store import Store, StoreError
from runs.store.rows import checksum
from tests.runs.store_chunks import (
    assert_leaves,
    assert_nothing_wrong,
    assert_same,
    filled,
    make_chunk,
    make_result,
)


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


def test_a_store_that_was_killed_while_it_was_created_is_empty_and_goes_on(tmp_path):
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as db:
        db.execute("PRAGMA journal_mode = WAL")  # a header, and no tables yet
    with pytest.raises(StoreError, match="empty; nothing was saved in this folder yet"):
        Store(tmp_path, read_only=True)
    with Store(tmp_path) as store:
        store.save(make_chunk(9), make_result(make_chunk(9)))
    with Store(tmp_path, read_only=True) as store:
        assert_same(store.load(make_chunk(9)), make_result(make_chunk(9)))


def test_an_integer_that_has_become_an_empty_blob_is_damage(tmp_path):
    """One flipped bit of a record's header turns the type 8, a zero, into 12, no bytes."""
    with closing(sqlite3.connect(filled(tmp_path))) as db:
        db.execute("UPDATE trials SET seed = x'' WHERE batch_size = 9 AND lane = 2")
        db.commit()
    with Store(tmp_path) as store:
        assert [str(bad) for bad in store.verify()] == ["trials row 35 (batch size 9, seed b'') is damaged"]
        assert len(list(store.trials())) == 39
        assert store.load(make_chunk(9)) is None
        store.save(make_chunk(9), make_result(make_chunk(9)))
        assert_same(store.load(make_chunk(9)), make_result(make_chunk(9)))
        assert len(store.trial_rows()) == 40


def test_damaged_names_of_columns_are_restored(tmp_path):
    path = filled(tmp_path)
    for name, damaged in ((b"checksum", b"checkxum"), (b"PRIMARY", b"PRIMAR`"), (b"CREATE", b"CREATF")):
        path.write_bytes(path.read_bytes().replace(name, damaged))
        with Store(tmp_path, read_only=True) as reader:
            assert len(reader.trial_rows()) == 40
            assert "store.sqlite: damaged; 40 trials of 10 chunks can be read" in reader.damage
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


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.7])
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
            store.save(chunk, Checkpoint(step, carry))
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
            store.save(chunk, Checkpoint(step, carry))
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
        store.save(chunk, Checkpoint(1, [np.zeros(3)]))
        assert store.load(chunk).step == 1
        assert [path.name for path in folder.iterdir()] == ["000001"]


@pytest.mark.parametrize("tables", [("parts",), ("parts_again",), ("parts", "parts_again")])
def test_what_rows_share_is_there_twice(tmp_path, tables):
    """Damage to one copy costs nothing and is mended; to both, the rows that need it, and never wrong ones."""
    with closing(sqlite3.connect(filled(tmp_path))) as db:
        for table in tables:
            db.execute(f"UPDATE {table} SET value = x'00' WHERE number = 2")
        db.commit()
    with Store(tmp_path, read_only=True) as store:
        assert "parts row 2 is damaged" in map(str, store.verify())
        assert len(store.trial_rows()) == (40 if len(tables) == 1 else 0)
    with Store(tmp_path) as store:
        assert_nothing_wrong(store)
        assert len(store.trial_rows()) == 40


def test_rows_are_small_and_come_back_as_they_were(tmp_path):
    settings = [{"learning_rate": 1e-5 * 1.1**i, "momentum": 0.9, "decay_steps": 100.0} for i in range(64)]
    chunk = make_chunk()._replace(settings=tuple(settings))
    rows = make_result(make_chunk(rates=range(1, 65)))
    with Store(tmp_path) as store:
        for seed in range(20):
            store.save(chunk._replace(seed=seed), rows)
        for row in store.trial_rows():
            assert row.checksum == checksum(tuple(row[:-1]))
            assert row.hparams == json.dumps(settings[row.lane])
        beside = store.size() - store.curve_bytes()
    assert beside / (20 * 64) < 200
