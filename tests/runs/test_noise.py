"""`lr-batch noise-scale`: its folder, what it prints, and wrong input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from runs.__main__ import DONE, USAGE, main
from runs.noise.figures import noise_scale
from runs.noise.outcome import scale_text

COMMAND = "noise-scale --batch-sizes 64 --learning-rates 0.9 --budget 24 --out".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("noise")
    assert main([*COMMAND, str(path)]) == DONE
    return path


def test_the_summary_holds_every_scale_with_its_interval(folder):
    summary = json.loads((folder / "summary.json").read_text())
    assert [point["step"] for point in summary["points"]] == [8, 16, 24] and not summary["reached"]
    for point in summary["points"]:
        for name in ("window", "simple", "curved", "sign", "spectral"):
            assert 0 < point[name]["low"] < point[name]["best"]
    assert (folder / "noise_scale.png").stat().st_size > 10_000


def test_the_same_command_answers_from_the_folder(folder, monkeypatch, capsys):
    monkeypatch.setattr("runs.noise.run.noise_along_training", lambda *args, **kwargs: pytest.fail("trained"))
    assert main([*COMMAND, str(folder)]) == DONE
    said = capsys.readouterr().out
    assert "B_simple over all steps" in said and "loss < 0.2 not reached" in said
    assert main(["report", str(folder)]) == DONE
    assert capsys.readouterr().out in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batch-sizes", "1"], "cannot be split"),
        (["--batch-sizes", "4,8", "--learning-rates", "0.1"], "give one batch size"),
        (["--learning-rates", "0.9", "--set", "momentum=0.9"], "momentum"),
        (["--goal", "loss<1e-9", "--batch-sizes", "64", "--budget", "20"], "no learning rate reached"),
    ],
)
def test_wrong_input_is_one_line(arguments, said, tmp_path, capsys):
    assert main(["noise-scale", *arguments, "--out", str(tmp_path / "out")]) == USAGE
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("lr-batch: ") and said in last


def test_what_is_no_table_of_trials_is_not_exported(folder, tmp_path, capsys):
    assert main(["export", str(folder), "--out", str(tmp_path / "trials.csv")]) == USAGE
    assert "holds a noise scale" in capsys.readouterr().err


def test_a_damaged_summary_is_named(folder, tmp_path, capsys):
    kept = (folder / "summary.json").read_text()
    for damaged in (
        kept[: len(kept) // 2],
        "null",
        "[]",
        "[" * 100_000,
        kept.replace('"seed": 0', '"seed": 1'),
    ):
        (folder / "summary.json").write_text(damaged)
        assert main(["report", str(folder)]) != DONE
        assert "summary.json: damaged" in capsys.readouterr().err
    (folder / "summary.json").write_text(kept)


def test_a_scale_without_an_end_is_drawn_and_written(folder):
    summary = json.loads((folder / "summary.json").read_text())
    summary["points"][0]["window"] |= {"high": None}
    summary["points"][1]["window"] = {"best": None, "low": 3.0, "high": None}
    summary["points"][2]["curved"] = None
    assert np.isfinite(noise_scale(summary).axes[0].get_ylim()).all()
    assert scale_text(summary["points"][1]["window"]) == "infinite (3 to infinite)"
    assert scale_text(None) == "none"
