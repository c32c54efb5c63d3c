"""A user's own `optim.py` beside a script, where Python finds it first."""

import os
import subprocess
import sys

import pytest

from lr_batch.namesakes import ROOT, refuse_namesakes


@pytest.mark.parametrize("file", ["optim.py", "reg/__init__.py"])
def test_file_in_the_way_is_named(file, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("mine = 1\n")
    (tmp_path / "script.py").write_text("import lr_batch\n")
    call = [sys.executable, str(tmp_path / "script.py")]
    ran = subprocess.run(call, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert ran.returncode == 1
    said = ran.stderr.strip().splitlines()[-1]
    assert said.startswith("ImportError: lr_batch needs its own package")
    assert f"{(tmp_path / file).resolve()} is found in its place: rename" in said


def test_nothing_is_in_the_way_here():
    refuse_namesakes(("optim", "reg", "hparam", "runs"))
