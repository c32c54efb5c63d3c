"""Files that are complete or not there, and errors that say which."""

import errno
import json
import os
import re

import jax
import pytest

from runs.__main__ import in_one_line
from runs.write import write_atomically


@pytest.mark.parametrize("call", ["write", "replace"])
def test_full_disk_names_the_file_and_leaves_the_old_one(call, tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fails(*args):
        raise full

    monkeypatch.setattr(*(("runs.write._write_synced", fails) if call == "write" else ("os.replace", fails)))
    with pytest.raises(OSError) as caught:
        write_atomically(path, b"new")
    assert in_one_line(caught.value) == f"{path}: No space left on device"
    assert [*tmp_path.iterdir()] == [path] and path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            jax.errors.JaxRuntimeError("INTERNAL: it broke\nand a long story"),
            "JAX failed .*: INTERNAL: it broke; what",
        ),
        (
            json.JSONDecodeError("Extra data", "{} {}", 3),
            "a file that must hold JSON is damaged: Extra data.*verify DIR",
        ),
        (PermissionError(13, "Permission denied", "/a/b"), "/a/b: Permission denied$"),
    ],
)
def test_errors_of_others_say_what_they_are_about(error, said):
    assert re.match(said, in_one_line(error)) and "\n" not in in_one_line(error)
