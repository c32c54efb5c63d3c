"""Recipes of the measurement science, in their short forms."""

from __future__ import annotations

import numpy as np

from runs.recipes import quadratic_theory


def test_the_theory_of_six_methods(tmp_path, capsys):
    curves = quadratic_theory.main(str(tmp_path / "theory.png"), quick=True)
    assert (tmp_path / "theory.png").stat().st_size > 10_000
    sgd, tuned, averaged, *preconditioned = curves.values()
    assert (tuned.steps <= sgd.steps).all() and tuned.steps[-1] < 0.8 * sgd.steps[-1]
    assert (averaged.steps <= sgd.steps).all() and (averaged.steps / sgd.steps).min() < 0.9
    critical = [curve.log2_critical for curve in (sgd, *preconditioned)]
    assert np.all(np.diff(critical) > 0)
    assert capsys.readouterr().out.count("log2 B_crit") == 6
