"""The two search recipes in their quick form, and what they compute by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from runs.recipes import random_vs_grid, search_benchmark
from runs.recipes.analytic_problems import BRANIN, HARTMANN6

PNG = b"\x89PNG"


@pytest.mark.parametrize(
    ("problem", "minimizers"),
    [
        (BRANIN, [[-np.pi, 12.275], [np.pi, 2.275], [3 * np.pi, 2.475]]),
        (HARTMANN6, [[0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573]]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_minima_are_the_published_ones(problem, minimizers):
    points = np.array(minimizers)
    losses = problem.loss(dict(zip(problem.space.names, points.T, strict=True)))
    np.testing.assert_allclose(losses, problem.minimum, atol=1e-5)


def test_search_benchmark_goes_on_where_it_stopped(tmp_path, capsys):
    first = search_benchmark.main(str(tmp_path), quick=True)
    tables = {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")}
    assert search_benchmark.main(str(tmp_path), quick=True).keys() == first.keys()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")} == tables
    assert set(tables) >= {"bayes.csv", "random.csv", "quasi-random.csv"}
    assert (tmp_path / "search_benchmark.png").read_bytes()[:4] == PNG
    assert "Branin     bayes" in capsys.readouterr().out


def test_regret_of_the_best_so_far_never_rises(tmp_path):
    method = next(m for m in search_benchmark.METHODS if m.name == "random")
    run = search_benchmark.run(BRANIN, method, 0, 8, 5)
    assert np.all(np.diff(run.regret) <= 0) and np.all(run.regret > 0)


def test_random_vs_grid_quick(tmp_path, capsys):
    out = tmp_path / "figure.png"
    comparison = random_vs_grid.main(str(out), quick=True)
    assert out.read_bytes()[:4] == PNG and out.with_suffix(".json").exists()
    assert len(np.unique(comparison.rates["grid"].round(12))) == 3
    assert len(np.unique(comparison.rates["random"].round(12))) == 27
    assert "best loss of the grid over that of random" in capsys.readouterr().out


def test_expected_best_is_the_mean_over_all_subsets():
    losses = np.array([[0.4, 1.3, 0.2, 0.9, 0.7]])
    by_hand = [np.mean([min(some) for some in itertools.combinations(losses[0], k)]) for k in range(1, 6)]
    np.testing.assert_allclose(random_vs_grid.expected_best(losses)[0], by_hand)
