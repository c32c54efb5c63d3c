"""Stores that are joined, and what the doctor says of a machine."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from command_line import command
from store_chunks import IDENTITY, make_chunk, make_result

from runs import file_system
from runs.doctor import examine
from runs.merge import merge
from runs.store import Store, StoreError

STUDY = IDENTITY.described() | {"space": {"learning_rate": [0.1, 0.2, 0.4, 0.8]}, "batch_sizes": [8]}


def stored(folder, sizes, seeds, salt=0, **changes):
    with Store(folder) as store:
        store.describe(STUDY | {"batch_sizes": sizes, "seeds": seeds} | changes)
        for size in sizes:
            for seed in range(seeds) if isinstance(seeds, int) else seeds:
                chunk = make_chunk(size, seed)._replace(identity=IDENTITY._replace(**changes))
                store.save(chunk, make_result(chunk, salt))
    return folder


def rows_of(folder):
    with Store(folder, read_only=True) as store:
        assert not store.verify()
        return store.trial_rows()


def test_every_trial_is_there_once(tmp_path):
    one, other = stored(tmp_path / "one", [4, 8], 2), stored(tmp_path / "other", [8, 16], [1, 5])
    merged = merge([one, other], tmp_path / "all")
    assert (merged.added, merged.known) == ((16, 12), (0, 4))
    assert {row.checksum for row in rows_of(tmp_path / "all")} == {
        r.checksum for f in (one, other) for r in rows_of(f)
    }
    with Store(tmp_path / "all", read_only=True) as store:
        study = store.description.study
        assert (study["batch_sizes"], study["seeds"]) == ([4, 8, 16], [0, 1, 5])
    before = rows_of(tmp_path / "all")
    assert merge([one, other], tmp_path / "all").added == (0, 0)
    assert rows_of(tmp_path / "all") == before


def test_other_numbers_of_one_trial_are_told(tmp_path):
    folders = [stored(tmp_path / "one", [8], 1), stored(tmp_path / "other", [8], 1, salt=1)]
    merge(folders, tmp_path / "all")
    assert rows_of(tmp_path / "all") == rows_of(folders[0])
    with Store(tmp_path / "all", read_only=True) as store:
        assert sum("came out different" in event for event in store.events) == 4


def test_what_is_damaged_is_left_out_and_told(tmp_path, capsys):
    one, other = stored(tmp_path / "one", [4, 8], 1), stored(tmp_path / "other", [8], 1)
    with contextlib.closing(sqlite3.connect(one / "store.sqlite")) as db:
        db.execute("UPDATE trials SET steps = 5 WHERE number = 1")
        db.commit()
    code, out, err = command(capsys, "merge", one, other, "--out", tmp_path / "all")
    assert code == 0 and f"{one}: 7 trials taken over, 0 were there" in out
    assert f"lr-batch: {one}: left out 1 damaged row" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("table", ["trials", "chunks", "parts", "studies", "events"])
def test_a_table_that_was_removed_is_rescued_like_other_damage(tmp_path, capsys, table):
    """The rest can be read, `verify` says so, and who writes again makes the store whole."""
    folder = stored(tmp_path / "one", [8], 1)
    with contextlib.closing(sqlite3.connect(folder / "store.sqlite")) as db:
        db.execute(f"DROP TABLE {table}")
        db.commit()
    code, out, _ = command(capsys, "verify", folder)
    assert code == 1 and "damaged" in out
    again = stored(folder, [8], 1)
    assert len(rows_of(again)) == 4


def test_what_is_not_one_study_is_refused(tmp_path, capsys):
    one, other = stored(tmp_path / "one", [8], 1), stored(tmp_path / "other", [8], 1, slack="3.0")
    with pytest.raises(StoreError, match="holds another study than .*one .slack: 2.0 -> 3.0"):
        merge([one, other], tmp_path / "all")
    with pytest.raises(StoreError, match="is one of the folders to merge"):
        merge([one, other], one)
    code, _, said = command(capsys, "merge", one, "--out", tmp_path / "all")
    assert (code, said) == (2, "lr-batch: merge: needs two or more folders, got 1\n")


def test_a_store_on_a_network_does_without_the_shared_log(tmp_path, monkeypatch, capsys):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/home {tmp_path / 'far'} nfs4 rw 0 0\n")
    monkeypatch.setattr(file_system, "MOUNTS", mounts)
    for name, mode in (("far", "delete"), ("near", "wal")):
        folder = stored(tmp_path / name, [8], 2)
        with Store(folder) as store:
            assert store._db.execute("PRAGMA journal_mode").fetchone() == (mode,)
        assert len(rows_of(folder)) == 8
    code, said, _ = command(capsys, "doctor", tmp_path / "far")
    assert (
        code == 0
        and "nfs4, a network file system" in " ".join(said.split())
        and "hard links can be made" in said
    )
    assert "jax" in said and "SQLite" in said


def test_a_folder_that_cannot_be_written_to_needs_attention(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "os.link", lambda *args: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted"))
    )
    code, said, line = command(capsys, "doctor", tmp_path)
    assert code == 1 and "! no files or hard links can be made there" in said and "need attention" in line


def test_what_is_in_the_way_of_a_folder_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "lost").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    said = {
        name: [str(line) for line in examine(tmp_path / name)][-1] for name in ("file/x", "lost", "loop/x")
    }
    assert said["file/x"] == f"! {tmp_path}/file: is no folder; name another one"
    assert said["lost"] == f"! {tmp_path}/lost: is a link to nothing; remove it or name another folder"
    assert said["loop/x"].startswith(f"! {tmp_path}/loop: is a link to nothing")
    monkeypatch.setattr("runs.doctor.file_system", lambda path: "tmpfs")
    assert any("in memory: what is there is lost" in line.line for line in examine(tmp_path))
