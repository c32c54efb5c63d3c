"""`lr-batch curve --follow`: less is trained, and what is left out is said."""

import json

import pytest
from command_line import command

from runs.curve.run import stored_result
from runs.curve.words import trials

pytestmark = pytest.mark.usefixtures("caches", "here")
GRID = "curve my.py:workload --batch-sizes 1:16:x2 --learning-rates 0.01:10:10 --seeds 2 --no-extend".split()


def test_less_than_the_grid_is_trained_and_the_same_command_goes_on(capsys, monkeypatch):
    monkeypatch.setattr("runs.curve.figures.FIGURES", {})
    code, out, err = command(capsys, *GRID, "--follow", "--out", "o", "--json")
    summary = json.loads(out)
    assert code == 0 and 0 < summary["trials"] < 0.75 * summary["grid_trials"] == 75, err
    code, out, err = command(capsys, *GRID, "--follow", "--out", "o")
    measured = trials(stored_result("o"))
    assert code == 0 and measured.startswith(f"{summary['trials']} of the grid's 100 trials (")
    assert f"followed             the best rate through the grid: measured {measured}" in out
    assert "none is trained again" in err
    few = stored_result("o")._replace(grid_trials=10)
    assert trials(few) == f"{summary['trials']} trials, those at rates beyond the grid of 10 among them"
    code, out, err = command(capsys, *GRID, "--out", "o")
    assert code == 2 and "follow" in err, err


def test_a_dry_run_says_that_less_is_trained(capsys):
    code, out, err = command(capsys, *GRID, "--follow", "--dry-run")
    assert code == 0 and "of these the best rate is followed through less than half" in " ".join(
        out.split()
    ), err
