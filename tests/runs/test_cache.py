"""What is kept between runs costs time when it is damaged, full or somebody else's, and never a run."""

import errno
import os
import subprocess
import sys

import pytest

from runs import cache
from runs.program_cache import CheckedEntries


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "_WARNED", set())
    return tmp_path / "lr-batch"


def kept(folder, **entries):
    """A cache that one run has filled and signed."""
    checked = CheckedEntries(folder)
    for name, data in entries.items():
        (folder / f"{name}-cache").write_bytes(data)
    checked.sign()


def names(folder):
    return {entry.name.removesuffix("-cache") for entry in folder.glob("*-cache")}


def test_entries_as_they_were_written_stay_and_damaged_ones_go(tmp_path):
    kept(tmp_path, whole=b"program", flipped=b"program", cut=b"program", grown=b"program")
    (tmp_path / "flipped-cache").write_bytes(b"prngram")
    (tmp_path / "cut-cache").write_bytes(b"prog")
    (tmp_path / "grown-cache").write_bytes(b"program ")
    CheckedEntries(tmp_path).sign()
    assert names(tmp_path) == {"whole"}


def test_entry_of_a_run_that_was_killed_goes(tmp_path):
    kept(tmp_path, signed=b"program")
    (tmp_path / "half-cache").write_bytes(b"prog")
    CheckedEntries(tmp_path).sign()
    assert names(tmp_path) == {"signed"}


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"0" * 64])
def test_damaged_hash_costs_its_entry_alone(damage, tmp_path):
    kept(tmp_path, one=b"program", other=b"program")
    (tmp_path / "hashes" / "one-cache").write_bytes(damage)
    CheckedEntries(tmp_path).sign()
    assert names(tmp_path) == {"other"}


def test_entries_of_a_run_beside_this_one_stay(tmp_path):
    beside = CheckedEntries(tmp_path)
    (tmp_path / "new-cache").write_bytes(b"program")
    CheckedEntries(tmp_path).sign()
    beside.sign()
    CheckedEntries(tmp_path).sign()
    assert names(tmp_path) == {"new"}


def test_flipped_bit_of_a_program_is_compiled_again(folder):
    """JAX itself would run it: a crash, at every run."""
    script = (
        "from runs.cache import use_compilation_cache; use_compilation_cache()\n"
        "import jax; jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)\n"
        "print(jax.jit(lambda x: x * 2 + 1)(3.0))\n"
    )

    def run():
        environment = {
            name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"
        }
        call = [sys.executable, "-c", script]
        return subprocess.run(call, capture_output=True, text=True, env=environment)

    assert run().stdout == "7.0\n"
    entry = max((folder / "programs").glob("*-cache"), key=lambda path: path.stat().st_size)
    whole = entry.read_bytes()
    flipped = whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]
    entry.write_bytes(flipped)
    again = run()
    assert (again.returncode, again.stdout, again.stderr) == (0, "7.0\n", "")
    assert entry.read_bytes() != flipped and (folder / "programs/hashes" / entry.name).exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"key": ["vmap"]}', "[" * 100_000, '{"key": "shell"}', "\0", '{"key": 1} {}']
)
def test_damaged_choices_are_made_again(text, folder, capsys):
    folder.mkdir()
    (folder / "lanes.json").write_text(text)
    assert cache.remembered("key", lambda: "map") == "map"
    assert cache.remembered("key", lambda: "vmap") == "map"
    assert capsys.readouterr().err.count("\n") <= 1


def test_folder_in_place_of_the_choices_and_a_full_disk_cost_a_line(folder, capsys, monkeypatch):
    (folder / "lanes.json").mkdir(parents=True)
    assert cache.remembered("key", lambda: "map") == "map"
    assert (
        capsys.readouterr().err
        == f"lr-batch: the cache {folder / 'lanes.json'} is left alone: Is a directory\n"
    )
    (folder / "lanes.json").rmdir()

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, "write_json", full)
    monkeypatch.setattr(cache, "_WARNED", set())
    assert cache.remembered("key", lambda: "map") == "map"
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_cache_that_others_may_write_to_is_not_used_and_said_once(mode, folder, capsys):
    folder.mkdir()
    (folder / "lanes.json").write_text('{"key": "vmap"}')
    folder.chmod(mode)
    assert [cache.remembered("key", lambda: "map") for _ in range(2)] == ["map"] * 2
    said = capsys.readouterr().err
    assert (
        said == f"lr-batch: the cache {folder} is left alone: others may write to {folder}; chmod go-w it\n"
    )


def test_cache_of_another_user_is_not_used(folder, capsys, monkeypatch):
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    assert cache.remembered("key", lambda: "map") == "map"
    assert f"{folder} belongs to another user" in capsys.readouterr().err


def test_cache_folder_that_is_a_file_or_cannot_be_made(folder, capsys):
    folder.write_text("")
    assert cache.remembered("key", lambda: "map") == "map"
    assert capsys.readouterr().err.count("\n") == 1
