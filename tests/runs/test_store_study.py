"""Which study a folder is for: damaged descriptions, mixed rows, flipped headers, deleted files, links, leftovers."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from lr_batch.engine import Checkpoint, Chunk
from runs.folder import ARGUMENTS, typed
from runs.store import Store, StoreError, StudyChanged
from runs.store.rows import study_row
from runs.write import write_atomically
from tests.runs.store_chunks import IDENTITY, filled, make_chunk, make_result

STUDY = IDENTITY.described() | {"width": 0, "seeds": 1, "batch_sizes": list(range(1, 11))}
OTHER = STUDY | {"goal": ["loss", 0.9]}


def described(folder: Path, study=STUDY) -> Path:
    with Store(folder) as store:
        store.describe(study)
    return filled(folder)


def sql(path: Path, script: str, *values) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(script, values)
        db.commit()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM studies",
        "UPDATE studies SET study = replace(study, '0.2', '0.6')",
        "UPDATE studies SET study = 'x'",
        "UPDATE studies SET kind = 'tune'",
        "UPDATE studies SET checksum = ''",
    ],
)
def test_a_damaged_description_is_proved_by_the_chunks_and_written_again(tmp_path, damage):
    path = described(tmp_path)
    sql(path, damage)
    with Store(tmp_path, read_only=True) as store:
        assert store.description.study["goal"] == ["loss", 0.2]
    with Store(tmp_path) as store:
        with pytest.raises(StudyChanged, match="goal: .*0.2.*0.9"):
            store.describe(OTHER)
        store.describe(STUDY)
        assert "its chunks prove" in store.events[-1]
    with Store(tmp_path) as store:
        store.describe(STUDY)
        assert store.description[:2] == ("curve", STUDY) and len(store.events) == 1


def test_a_description_that_no_chunk_agrees_with_is_not_believed(tmp_path):
    """As version 1 could leave it, which had no checksum there."""
    path = described(tmp_path)
    wrong = study_row("curve", OTHER, "")
    sql(
        path,
        "UPDATE studies SET study = ?, versions = ?, checksum = ?",
        wrong.study,
        wrong.versions,
        wrong.checksum,
    )
    with Store(tmp_path, read_only=True) as store:
        assert store.description.study["goal"] == ["loss", 0.2] and len(store.trial_rows()) == 40


def test_rows_of_another_study_are_never_mixed_in(tmp_path):
    path = described(tmp_path)
    stranger = Chunk(IDENTITY._replace(goal=("loss", 0.9)), 3, 0, ({"learning_rate": 0.1},))
    with Store(tmp_path) as store:
        store.save(stranger, make_result(stranger)._replace(status=("reached",)))
        assert len(store.trial_rows()) == len(list(store.trials())) == 40
    sql(path, "UPDATE chunks SET seconds = 7")  # without their chunks' rows, trials prove it by their hash
    sql(path, "DELETE FROM chunks WHERE batch_size = 5")
    with Store(tmp_path) as store:
        store.save(make_chunk(1), make_result(make_chunk(1)))
        assert len(store.trial_rows()) == 40
    with closing(sqlite3.connect(path)) as db:
        chunks = list(db.execute("SELECT * FROM chunks"))
    sql(path, "DELETE FROM chunks")
    with Store(tmp_path, read_only=True) as store:  # then the description's identity is the one to prove
        assert len(store.trial_rows()) == 40
    for chunk in chunks:
        sql(path, f"INSERT INTO chunks VALUES ({', '.join('?' * len(chunk))})", *chunk)
    sql(path, "DELETE FROM studies")
    with Store(tmp_path) as store:
        store.save(stranger, make_result(stranger)._replace(status=("reached",)))
        with pytest.raises(StoreError, match="description is damaged, and it holds 2 studies"):
            store.trial_rows()


def test_a_rule_that_an_older_version_did_not_name_is_told_from_todays(tmp_path):
    """Chunks that name no time constant reached the goal by the first evaluation."""
    path = described(tmp_path)
    sql(path, "DELETE FROM studies")
    with Store(tmp_path) as store:
        with pytest.raises(StudyChanged, match="time_constant: absent -> 0.2"):
            store.describe(STUDY | {"time_constant": 0.2})
        store.describe(STUDY)
        averaged = Chunk(IDENTITY._replace(time_constant=0.2), 3, 0, ({"learning_rate": 0.1},))
        store.save(averaged, make_result(averaged)._replace(status=("reached",)))
        assert len(store.trial_rows()) == 40


def test_another_kind_of_results_is_refused(tmp_path):
    described(tmp_path)
    with Store(tmp_path) as store, pytest.raises(StudyChanged, match="results of lr-batch curve, not tune"):
        store.describe(STUDY, kind="tune")


@pytest.mark.parametrize("pragma", ["user_version", "application_id"])
def test_a_flipped_bit_of_the_header_is_repaired(tmp_path, pragma):
    path = described(tmp_path)
    with closing(sqlite3.connect(path)) as db:
        (good,) = db.execute(f"PRAGMA {pragma}").fetchone()
    for bit in range(32):
        flipped = good ^ (1 << bit if bit < 31 else -(1 << 31))
        sql(path, f"PRAGMA {pragma} = {flipped}")
        with Store(tmp_path, read_only=True) as store:
            assert len(store.trial_rows()) == 40
        with Store(tmp_path, full_sync=False) as store:
            assert len(store.trial_rows()) == 40 and store.description.study == STUDY
        with closing(sqlite3.connect(path)) as db:
            assert db.execute(f"PRAGMA {pragma}").fetchone() == (good,)


@pytest.mark.parametrize("deleted", ["store.sqlite", "."])
def test_a_store_deleted_while_a_run_writes_is_noticed(tmp_path, deleted):
    folder = tmp_path / "study"
    with pytest.raises(StoreError, match="was deleted or replaced while this run wrote to it"):
        with Store(folder) as store:
            store.save(make_chunk(1), make_result(make_chunk(1)))
            (folder / deleted).unlink() if deleted != "." else shutil.rmtree(folder)
            store.save(make_chunk(2), make_result(make_chunk(2)))
    folder.mkdir(exist_ok=True)
    with pytest.raises(StoreError, match="was deleted or replaced"):
        with Store(folder) as store:
            (folder / "store.sqlite").unlink()


@pytest.mark.parametrize("name", ["store.sqlite", "lease.sqlite", "store.sqlite-wal", "lanes", "lanes/0f"])
def test_links_are_not_followed(tmp_path, name):
    folder, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    (folder / name).parent.mkdir(parents=True)
    elsewhere.mkdir()
    (folder / name).symlink_to(elsewhere / "x" if "sqlite" in name else elsewhere)
    with pytest.raises(StoreError, match=f"{name}: is a link, which is not followed"):
        Store(folder)
    assert list(elsewhere.iterdir()) == []


def test_a_damaged_file_is_not_kept_through_a_link(tmp_path):
    folder, precious = tmp_path / "study", tmp_path / "precious"
    path = filled(folder)
    os.truncate(path, path.stat().st_size // 2)
    (folder / "store.sqlite.damaged-1").symlink_to(precious)
    with pytest.raises(StoreError, match="is a link"):
        Store(folder)
    assert not precious.exists()


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    chunk, done = make_chunk(1), make_chunk(2)
    with Store(tmp_path) as store:
        store.save(chunk, Checkpoint(1, [np.zeros(3)]))
        store.save(done, make_result(done))
        store.save(done, Checkpoint(1, [np.zeros(3)]))
    left = [f".{'0f' * 8}.tmp", f".{'0f' * 8}.probe", f".lr-batch-{2**22 + 1}-{'0f' * 8}.tmp"]
    left.append(f".lr-batch-{os.getpid()}-{'0f' * 8}.tmp")  # of an earlier process with our number
    alive = f".lr-batch-{os.getppid()}-{'0f' * 8}.tmp"
    for name in (*left, alive, "mine.tmp"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".salvage-ab12").mkdir()
    (tmp_path / "lanes" / chunk.id / ".writing.orbax").mkdir()
    Store(tmp_path).close()
    kept = {"store.sqlite", "lease.sqlite", "lanes", alive, "mine.tmp"}
    assert {path.name for path in tmp_path.iterdir()} == kept
    assert [path.name for path in (tmp_path / "lanes").rglob("*") if path.name.startswith(".w")] == []
    assert [path.name for path in (tmp_path / "lanes").iterdir()] == [chunk.id]


def test_temporary_files_go_at_the_next_write_into_any_folder(tmp_path):
    (tmp_path / f".lr-batch-{2**22 + 1}-{'0f' * 8}.tmp").write_bytes(b"half")
    write_atomically(tmp_path / "out.csv", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_leases_and_paths_that_cannot_be_used_are_one_line(tmp_path):
    (tmp_path / "lease.sqlite").mkdir()
    with pytest.raises(
        StoreError, match="lease.sqlite: unable to open database file; .*delete what there is"
    ):
        Store(tmp_path)
    long = tmp_path.joinpath(*["x" * 100] * 6)
    for read_only in (False, True):
        with pytest.raises(StoreError, match="a path of 6.. bytes is more than the 504 that SQLite takes"):
            Store(long, read_only=read_only)
    assert not long.exists()


def test_a_damaged_event_is_left_out(tmp_path):
    path = described(tmp_path)
    with Store(tmp_path) as store:
        store.record("good")
        store.record("bad")
    sql(path, "UPDATE events SET event = 'worse' WHERE event = 'bad'")
    with Store(tmp_path, read_only=True) as store:
        assert store.events == ("good",)
        assert [str(bad) for bad in store.verify()] == ["events row 2 is damaged"]


def test_a_path_that_is_no_text_is_kept_with_the_study(tmp_path):
    """Bytes of the command line that no encoding knows, as Python hands them over."""
    before = ARGUMENTS.set(("curve", "--out", "a\udcff", "\udcc3\udcbc"))
    try:
        with Store(tmp_path) as store:
            store.describe(STUDY, command=typed())
    finally:
        ARGUMENTS.reset(before)
    with Store(tmp_path) as store:
        assert store.description.command == r"lr-batch curve --out 'a\xff' 'ü'"


def test_what_was_typed_is_kept_with_the_study(tmp_path):
    with Store(tmp_path) as store:
        store.describe(STUDY, command="lr-batch curve --seeds 1")
        store.describe(STUDY)
    with Store(tmp_path, read_only=True) as store:
        assert store.description.command == "lr-batch curve --seeds 1"
        assert json.loads(json.dumps(store.description.versions))["lr-batch"]
