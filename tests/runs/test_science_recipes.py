"""Recipes of the measurement science, in their short forms."""

from __future__ import annotations

import numpy as np
import pytest

from runs.recipes import noise_predictors, quadratic_theory


def test_the_theory_of_six_methods(tmp_path, capsys):
    curves = quadratic_theory.main(str(tmp_path / "theory.png"), quick=True)
    assert (tmp_path / "theory.png").stat().st_size > 10_000
    sgd, tuned, averaged, *preconditioned = curves.values()
    assert (tuned.steps <= sgd.steps).all() and tuned.steps[-1] < 0.8 * sgd.steps[-1]
    assert (averaged.steps <= sgd.steps).all() and (averaged.steps / sgd.steps).min() < 0.9
    critical = [curve.log2_critical for curve in (sgd, *preconditioned)]
    assert np.all(np.diff(critical) > 0)
    assert capsys.readouterr().out.count("log2 B_crit") == 6


def predicted_row(workload, optimizer, critical, **scales):
    interval = lambda best: best and {"best": best, "low": best / 2, "high": None if best > 400 else best * 2}
    return {
        "workload": workload,
        "optimizer": optimizer,
        "batch_size": 64,
        "critical": interval(critical) | {"high": 2 * critical},
        "reliable": optimizer == "sgd",
        "scales": {name: interval(best) for name, best in scales.items()},
    }


def test_predictors_beside_what_they_predict(tmp_path, capsys, monkeypatch):
    rows = iter(
        [
            predicted_row(
                "digits_mlp", "sgd", 20.0, mean_simple=40.0, curved=None, sign=500.0, spectral=10.0
            ),
            predicted_row(
                "digits_mlp", "muon", 80.0, mean_simple=40.0, curved=30.0, sign=60.0, spectral=88.0
            ),
        ]
    )
    monkeypatch.setattr(noise_predictors, "row_of", lambda *args, **kwargs: next(rows))
    found = noise_predictors.main(str(tmp_path), quick=True)
    said = capsys.readouterr().out
    sgd, muon = (
        next(line for line in said.splitlines() if word in line).split() for word in (" sgd ", " muon ")
    )
    assert sgd[-4:] == ["2", "none", "25", "0.5"] and muon[-4:] == ["0.5", "0.38", "0.75", "1.1"]
    assert len(found) == 2 and (tmp_path / "predictors.png").stat().st_size > 10_000


def test_a_curve_that_says_too_little_is_left_out(tmp_path, capsys, monkeypatch):
    def refused(case, optimizer, folder, **kwargs):
        raise ValueError("needs at least 4 batch sizes")

    monkeypatch.setattr(noise_predictors, "row_of", refused)
    assert noise_predictors.main(str(tmp_path), quick=True) == []
    assert "digits_mlp with sgd is left out: needs at least 4" in capsys.readouterr().out


@pytest.mark.slow
def test_predictors_from_training(tmp_path):
    first = noise_predictors.main(str(tmp_path), quick=True)
    assert [row["optimizer"] for row in first] == ["sgd", "muon"]
    assert all(row["scales"][name]["best"] > 0 for row in first for name in noise_predictors.SCALES)
