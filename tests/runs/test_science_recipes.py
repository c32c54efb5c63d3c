"""Recipes of the measurement science, in their short forms."""

from __future__ import annotations

import numpy as np
import pytest

from lr_batch import best_settings
from lr_batch.workloads import noisy_quadratic_theory as theory
from runs.recipes import adam_betas, noise_predictors, quadratic_theory
from runs.recipes.made_up_study import made_up_study


def test_the_theory_of_six_methods(tmp_path, capsys):
    curves = quadratic_theory.main(str(tmp_path / "theory.png"), quick=True)
    assert (tmp_path / "theory.png").stat().st_size > 10_000
    sgd, tuned, averaged, *preconditioned = curves.values()
    assert (tuned.steps <= sgd.steps).all() and tuned.steps[-1] < 0.8 * sgd.steps[-1]
    assert (averaged.steps <= sgd.steps).all() and (averaged.steps / sgd.steps).min() < 0.9
    critical = [curve.log2_critical for curve in (sgd, *preconditioned)]
    assert np.all(np.diff(critical) > 0)
    assert capsys.readouterr().out.count("log2 B_crit") == 6


def test_the_published_steps_are_whole_ones_at_a_rate_just_below_the_best():
    """p = 0.75 without noise, in closed form: E[L] after t steps is 1/2 sum h (1 - a h^(1 - p))^(2t)."""
    h, method = theory.curvature(10_000), theory.Method(power=0.75)
    share = quadratic_theory.published_at(method, 11, h)
    best = theory.optimal(2.0**30, h, method).rate
    loss = lambda a, steps: 0.5 * float(h @ (1 - a * h**0.25) ** (2 * steps))
    assert share == pytest.approx(0.976)
    assert loss(share * best, 11) < 0.01 <= loss(share * best, 10)
    assert loss((share + 0.01) * best, 10) < 0.01
    assert quadratic_theory.published_at(method, 1_000, h) is None


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


def test_the_best_beta_moves_with_the_batch(tmp_path, capsys, monkeypatch):
    """Made-up studies in which a half-life of 6,930 examples is best, as it would be were Malladi's rule exact."""

    def made_up(workload, beta, value, sizes, seeds, folder):
        found = best_settings(made_up_study(np.full(3, 0.03), 1, batch_sizes=sizes, seeds=seeds))
        factor = [1 + abs(np.log(adam_betas.half_life(value, size) / 6930)) for size in sizes]
        return tuple(
            o._replace(
                steps=f * o.steps,
                log_steps=o.log_steps._replace(
                    best=o.log_steps.best + np.log(f),
                    without=tuple(x + np.log(f) for x in o.log_steps.without),
                ),
            )
            for o, f in zip(found, factor, strict=True)
        )

    monkeypatch.setattr(adam_betas, "optima_of", made_up)
    rows = adam_betas.main(str(tmp_path), quick=True)
    assert [row["best"] for row in rows] == [0.9996, 0.9984, 0.9936]
    assert rows[0]["rule_over_fixed"] is None or rows[0]["rule_over_fixed"].best == pytest.approx(1.0)
    over = [row["rule_over_fixed"].best for row in rows[1:]]
    assert over == sorted(over, reverse=True) and over[1] == pytest.approx(1 / (1 + np.log(16)), rel=0.02)
    assert (
        "half-lives of" in capsys.readouterr().out and (tmp_path / "adam_betas.png").stat().st_size > 10_000
    )
    with pytest.raises(ValueError, match="must be one of b2, b1"):
        adam_betas.main(str(tmp_path), "pydoc_lm", "b3")
