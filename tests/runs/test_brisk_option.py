"""`lr-batch curve --brisk`: said with the answer, a study of its own, refused where it saves nothing."""

import pytest
from command_line import command

from lr_batch.engine import BRISK
from runs.curve.run import stored_result

pytestmark = pytest.mark.usefixtures("caches", "here")
GRID = (
    "curve my.py:workload --batch-sizes 4,16 --learning-rates 0.1,1,10 --seeds 1 --no-extend --out o".split()
)


def test_a_brisk_study_is_another_one_and_says_so(capsys, monkeypatch):
    monkeypatch.setattr("runs.curve.figures.FIGURES", {})
    code, out, err = command(capsys, *GRID, "--brisk", "--lanes", "map")
    assert code == 0 and BRISK in " ".join(out.split()), err
    assert stored_result("o").engine.events == (BRISK,)
    code, out, err = command(capsys, *GRID)
    assert code == 2 and "brisk" in err, err


def test_it_is_refused_in_a_line(capsys):
    code, out, err = command(capsys, *GRID, "--brisk", "--lanes", "vmap")
    assert code == 2 and not out and err.count("\n") == 1 and "leave it out, or take" in err
