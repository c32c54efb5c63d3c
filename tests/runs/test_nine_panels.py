"""The nine panels' figures, from summaries of made-up studies; training is `lr-batch curve`, which has its own tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from synthetic_study import synthetic_result

from lr_batch import best_settings, critical_batch_size, learning_rate_law
from lr_batch.workloads import WORKLOADS
from runs.curve.summary import summarize
from runs.curve.words import critical_batch
from runs.gallery import numbers
from runs.kept_json import write_kept
from runs.recipes import nine_panels
from runs.recipes.nine_panels_figure import DOUBT, panel_of

SIZES = (4, 16, 64, 256, 1024)


def study(workload):
    """A result whose curve fits, and what is read off it."""
    result = synthetic_result(SIZES, seeds=3, workload=workload, optimizer="nesterov")
    optima = best_settings(result)
    return result, critical_batch_size(result, optima=optima), optima


def summary_of(workload="stand-in-mnist_simple_cnn-tiny"):
    result, critical, optima = study(workload)
    return summarize(result, optima, critical, learning_rate_law(result, optima=optima), ())


def test_each_panel_is_a_workload_with_a_tiny_scale():
    for name in nine_panels.PANELS.values():
        assert WORKLOADS[f"{name}-tiny"]


def test_a_summary_says_all_that_is_drawn():
    result, critical, optima = study("digits_mlp")
    panel = panel_of(summary_of("digits_mlp"))
    assert panel.goal == str(result.goal) and panel.trials == result.num_trials
    assert [(size, *steps) for size, steps in panel.steps] == [
        (row.batch_size, row.steps, row.low, row.high) for row in optima
    ]
    assert [rate.best for _, rate in panel.rates] == [row.learning_rate.best for row in optima]
    assert panel.said == ("critical batch size", critical_batch(critical))
    np.testing.assert_allclose(panel.curve_at(np.array(SIZES)), critical.curve(SIZES).steps, rtol=1e-9)


def test_what_does_not_fit_has_no_curve_and_ends_without_numbers_are_open():
    summary = summary_of()
    critical = summary["critical_batch_size"]
    critical["high"] = None
    panel = panel_of(summary)
    assert math.isinf(panel.size.high) and panel.said[1].endswith("to above 1,024)")
    critical["test"]["fits"] = False
    panel = panel_of(summary)
    assert panel.curve is None and panel.said[0] == "no curve fits; linear scaling until"
    panel = panel_of(summary | {"critical_batch_size": None})
    assert (panel.size, panel.said, panel.curve_at(np.ones(1))) == (None, ("not fitted", ""), None)
    for row in summary["steps_to_goal"]:
        row["effective_rate"] = {"best": 9.0, "low": 8.0, "high": None}
    assert {rate.best for _, rate in panel_of(summary).rates} == {9.0}


def test_what_is_missing_is_trained_and_what_is_there_is_drawn(tmp_path, monkeypatch):
    """One of the two that are asked for fails: the other is drawn, and so is one of an earlier run."""
    asked = []

    def curve(arguments):
        asked.append(arguments)
        failed = "cifar10_resnet8-tiny" in arguments
        if not failed:
            _begin(tmp_path / "mnist_simple_cnn")
        return 2 if failed else 0

    _begin(tmp_path / "lm1b_lstm")
    monkeypatch.setattr(nine_panels, "lr_batch_command", curve)
    there = nine_panels.command(["--out", str(tmp_path), "--panels", "a,c", "--seeds", "2"])
    assert asked[0] == [
        *("curve", "mnist_simple_cnn-tiny", "--out", str(tmp_path / "mnist_simple_cnn"), "--seeds", "2")
    ]
    assert len(asked) == 2 and sorted(there) == ["a", "i"]
    for name in ("steps_to_goal", "effective_rate"):
        assert (tmp_path / f"{name}.png").stat().st_size > 20_000
        drawn = (tmp_path / f"{name}.svg").read_text()
        assert "stand-in-mnist_simple_cnn-tiny" in drawn and drawn.count("not measured yet") == 7
    page = (tmp_path / "report.html").read_text()
    assert page.count('class="chart"') == 2 and "2 of 9 panels are measured" in page
    said = numbers.nine_panels(there | {"b": there["a"]._replace(said=("", f"7{DOUBT}"))})
    assert said["a"] == there["a"].said[1] and said["b"] == "7" and said["c"] == "not measured"
    assert said["doubted"] == 1


def _begin(folder):
    folder.mkdir(parents=True)
    write_kept(folder / "summary.json", summary_of(f"stand-in-{folder.name}-tiny"))


def test_a_letter_beyond_i_is_refused(capsys):
    with pytest.raises(SystemExit):
        nine_panels.command(["--panels", "a,k"])
    assert "'k' is none of a, b, c" in capsys.readouterr().err
