"""The nine panels' figure, from made-up studies; what is trained is `lr-batch curve`, which has its own tests."""

from __future__ import annotations

import pytest
from synthetic_study import synthetic_result

from lr_batch import best_settings
from lr_batch.workloads import WORKLOADS
from runs.curve.analysis import Analysis
from runs.opened import Opened
from runs.recipes import nine_panels


def _opened(workload):
    result = synthetic_result((4, 32, 256, 2048), seeds=2, workload=workload, optimizer="nesterov")
    return Opened(result, Analysis(best_settings(result), None, None, (), None, "", {}))


def test_each_panel_is_a_workload_with_a_tiny_scale():
    for name in nine_panels.PANELS.values():
        assert WORKLOADS[f"{name}-tiny"]


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
    monkeypatch.setattr(nine_panels.runs, "open", lambda folder: _opened(f"stand-in-{folder.name}-tiny"))
    there = nine_panels.main(["--out", str(tmp_path), "--panels", "a,c", "--seeds", "2"])
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


def _begin(folder):
    folder.mkdir(parents=True)
    (folder / nine_panels.NAME).touch()


def test_a_letter_beyond_i_is_refused(capsys):
    with pytest.raises(SystemExit):
        nine_panels.main(["--panels", "a,k"])
    assert "'k' is none of a, b, c" in capsys.readouterr().err
