"""`lr-batch plan`: what it prints, writes and refuses; and how far its predictions are off on the kept results."""

from __future__ import annotations

import json

import pytest
from synthetic_study import synthetic_result

from runs.__main__ import DONE, USAGE, main
from runs.curve.analysis import analyse
from runs.opened import Opened
from runs.plan import outcome
from runs.recipes import spectrum_prediction

COMMAND = ["--examples-per-second", "20", "--overhead", "100"]


@pytest.fixture(scope="module")
def opened():
    result = synthetic_result(seeds=3)
    return Opened(result, analyse(result))


@pytest.fixture
def folder(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "open_folder", lambda folder: opened)
    return tmp_path


def test_a_row_for_every_number_of_devices(folder, capsys):
    assert main(["plan", str(folder), *COMMAND, "--devices", "1:65536:x8"]) == DONE
    said = capsys.readouterr().out
    rows = {line.split()[0]: line for line in said.splitlines() if "front" in line or "predicted" in line}
    assert set(rows) >= {"1", "8", "64", "512", "4,096"} and "~4,096" in rows["4,096"]
    assert "Knee: 8 devices" in said or "Knee: 64 devices" in said
    assert "Nothing is said of 32,768 devices" in said and "In this study: fitted up to 256" in said
    kept = json.loads((folder / "plan.json").read_text())
    assert [row["devices"] for row in kept["rows"]] == [1, 8, 64, 512, 4096]
    assert kept["unanswered"] == [32768] and kept["rows"][0]["seconds"]["low"] > 0
    assert (folder / "plan.png").stat().st_size > 10_000


def test_json_is_what_is_kept(folder, capsys):
    assert main(["plan", str(folder), *COMMAND[:2], "--devices", "4,2", "--json"]) == DONE
    assert json.loads(capsys.readouterr().out) == json.loads((folder / "plan.json").read_text())


def test_a_step_that_costs_nothing_is_told(folder, capsys):
    assert main(["plan", str(folder), *COMMAND[:2], "--devices", "1"]) == DONE
    said = " ".join(capsys.readouterr().out.split())
    assert "Without --overhead" in said and "Knee" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--examples-per-second", "0"], "--examples-per-second: must be a number > 0"),
        (["--examples-per-second", "fast"], "must be a number"),
        ([*COMMAND[:2], "--overhead", "-1"], "--overhead: must be a number >= 0"),
        ([*COMMAND, "--devices", "0,1"], "--devices: must be 1 or more"),
        ([*COMMAND, "--devices", "many"], "--devices: must look like"),
    ],
)
def test_wrong_input_is_one_line(folder, capsys, words, said):
    assert main(["plan", str(folder), *words]) == USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: {"critical": a.critical._replace(value=5000.0)}, "no plateau"),
        (
            lambda a: {
                "critical": None,
                "refusals": ("no critical batch size: needs at least 4 batch sizes",),
            },
            "needs at least 4 batch sizes",
        ),
    ],
)
def test_a_curve_that_says_too_little_is_refused_with_the_way_out(
    opened, tmp_path, monkeypatch, capsys, change, said
):
    less = opened._replace(analysis=opened.analysis._replace(**change(opened.analysis)))
    monkeypatch.setattr(outcome, "open_folder", lambda folder: less)
    assert main(["plan", str(tmp_path), *COMMAND]) == USAGE
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (tmp_path / "plan.json").exists()


def test_batches_that_grow_and_other_folders_are_refused(opened, tmp_path, monkeypatch, capsys):
    grown = opened._replace(result=opened.result._replace(batch_schedule="x2@5"))
    monkeypatch.setattr(outcome, "open_folder", lambda folder: grown)
    assert main(["plan", str(tmp_path), *COMMAND]) == USAGE
    assert "measure a curve of constant ones" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["plan", str(tmp_path / "nothing"), *COMMAND]) != DONE
    assert capsys.readouterr().err.count("\n") == 1


def test_the_errors_that_are_told_are_those_of_the_kept_curves(tmp_path):
    found = spectrum_prediction.main(str(tmp_path))
    for group, errors in outcome.KEPT_ERRORS.items():
        for factor, told in errors.items():
            row = found["errors"][group][str(factor)]
            assert (row["quadratic"], row["quadratic_nine_in_ten"]) == told
    kept = json.loads((spectrum_prediction.RESULTS / "prediction" / "prediction.json").read_text())
    assert kept["errors"] == found["errors"] and (tmp_path / "prediction.png").stat().st_size > 10_000
