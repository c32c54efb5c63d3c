"""`lr-batch curve --noise-scale`: one trial more, drawn beside the curve."""

from __future__ import annotations

import json

import pytest
from command_line import command
from synthetic_study import synthetic_result

from lr_batch import Study
from runs.curve.analysis import analyse
from runs.curve.figures.steps_to_goal import steps_to_goal
from runs.curve.report.scaling import steps_chart
from runs.noise.beside_curve import at_best_setting, measure_beside, stored_beside

pytestmark = pytest.mark.usefixtures("unrendered")

SMALL = "curve my.py:workload --batch-sizes 1,4,8 --learning-rates 0.3,1,3 --seeds 2 --no-extend --goal loss<0.6".split()
NOISE = {"best": 61.5, "low": 35.4, "high": None, "level": 0.9, "steps": 96, "batch_size": 64}


def test_the_scale_is_told_kept_and_not_measured_again(here, capsys, monkeypatch):
    words = [*SMALL, "--noise-scale", "--out", "o"]
    code, out, err = command(capsys, *words)
    assert code == 0 and ": predicts the critical batch size" in " ".join(out.split()), err
    kept = json.loads((here / "o" / "summary.json").read_text())["noise_scale"]
    points = stored_beside(here / "o")["points"]
    assert "points" not in kept and points[-1]["step"] == kept["steps"] and points[-1]["window"]["best"] > 0
    assert ('id="scales"' in (here / "o" / "report.html").read_text()) == (len(points) > 1)
    assert kept["batch_size"] in (4, 8) and 0 <= kept["low"] <= kept["best"] and kept["seed"] == 0
    monkeypatch.setattr(
        "runs.noise.beside_curve.noise_along_training", lambda *a, **k: pytest.fail("trained")
    )
    assert command(capsys, *words)[0] == 0
    code, out, _ = command(capsys, "report", "o")
    assert code == 0 and "noise scale  " in out
    assert command(capsys, *SMALL, "--noise-scale", "--batch-schedule", "x2@3", "--out", "p")[0] == 2


@pytest.fixture(scope="module")
def result():
    return synthetic_result(seeds=3)


def test_the_trial_is_at_the_critical_batch_size_and_its_best_rate(result):
    study = Study("digits_mlp", batch_sizes=result.batch_size.tolist(), seeds=(7, 8))
    trial = at_best_setting(study, result)
    best = next(row for row in analyse(result).optima if row.batch_size == 128).learning_rate.best
    assert trial.batch_sizes == (128,) and trial.seed_numbers == (7,) and trial.num_trials == 1
    assert trial.space["learning_rate"][0] == pytest.approx(best, rel=0.01)


def test_a_study_without_one_is_whole(tmp_path, capsys):
    nothing = synthetic_result((1, 2), seeds=2, unreachable=(2,))
    measure_beside(Study("digits_mlp", batch_sizes=(1, 2)), nothing, tmp_path)
    assert "no noise scale: no batch size of at least 2" in capsys.readouterr().err
    for damaged in ("{", "null", '{"best": 3.0, "checksum": "0"}'):
        (tmp_path / "noise_scale.json").write_text(damaged)
        assert stored_beside(tmp_path) is None


def test_figures_draw_it_also_without_an_end(result):
    outcome = analyse(result, NOISE)
    labels = steps_to_goal(result, outcome).axes[0].get_legend_handles_labels()[1]
    assert any("B_{simple}" in label for label in labels)
    trace = steps_chart(result, outcome)["data"][-1]
    assert trace["x"] == [61.5] and trace["error_x"]["array"][0] > 100
