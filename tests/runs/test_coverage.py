"""Intervals cover on real trials: digits_mlp with SGD and Adam, 40 seeds, rates three times as fine as the default.

Kept by `python -m runs.recipes.coverage collect`'s way of storing; steps to the goal by the average in log step.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import lr_batch
from runs.recipes import coverage, trial_table

HERE = Path(__file__).parent
PAIRS = ("digits_mlp-sgd", "digits_mlp-adam")
CURVE = ("critical batch size", "fewest steps", "fewest examples", "sharpness", "perfect scaling until")


@pytest.fixture(scope="module", params=PAIRS)
def table(request):
    return trial_table.load(HERE / f"trials-{request.param}.npz")


@pytest.fixture(scope="module")
def rows(table):
    """Of ten independent studies of four seeds each."""
    return coverage.covered(table, 4, partitions=1)


def test_intervals_of_the_curve_cover(rows):
    """Fewer than 7 of 10 for a 90 % interval: by chance in 1.3 % of cases each; of all five together, fewer than
    80 % in less."""
    shares = [rows[name]["covered"] for name in CURVE]
    assert min(shares) >= 0.7
    assert np.mean(shares) >= 0.8


@pytest.mark.parametrize("kind", ["steps at", "rate at"])
def test_intervals_at_the_batch_sizes_cover(rows, kind):
    """Over 11 batch sizes of 10 studies, correlated within one: below 80 % in about 2 % of cases."""
    assert np.mean([row["covered"] for name, row in rows.items() if name.startswith(kind)]) >= 0.8


def test_errors_that_are_claimed_are_those_that_are_made(rows):
    """Spread over studies together with the error common to them. A standard error too large by the number of
    seeds (a product for a quotient) claims four times what is made."""
    steps = [row for name, row in rows.items() if name.startswith("steps at")]
    made = np.sqrt(np.mean([row["spread"] ** 2 + row["common"] ** 2 for row in steps]))
    claimed = np.sqrt(np.mean([row["claimed"] ** 2 for row in steps]))
    assert 0.7 < claimed / made < 1.5


def test_good_curves_scatter_as_much_as_their_errors(table):
    """The errors that weight the points and judge the fit: median scatter over ten studies, 0.6 when written. Four
    times too large, it would be 0.15; two times too small, 1.2."""
    fits = [lr_batch.critical_batch_size(result) for result in coverage.studies(table, 4, 1)]
    assert 0.35 < np.median([fit.test.scatter for fit in fits]) < 1.0
    assert sum(not fit.test.fits for fit in fits) <= 2


def test_equal_studies_are_seldom_called_different(table):
    """45 pairs of ten studies; at most a tenth."""
    assert coverage.false_alarms(table, 4)["equal studies called different"] <= 0.1


@pytest.mark.parametrize("slack", [2.5, 3.0])
def test_slack_of_the_race_changes_nothing(table, slack):
    by_default, longer = (
        lr_batch.critical_batch_size(trial_table.cut(table, range(4), slice(0, None, 3), s))
        for s in (2.0, slack)
    )
    assert (longer.value, longer.e_min, longer.low) == (by_default.value, by_default.e_min, by_default.low)


def test_a_coarse_grid_is_named(table):
    """Rates three times as far apart as by default."""
    fit = lr_batch.critical_batch_size(trial_table.cut(table, range(4), slice(0, None, 6)))
    assert not fit.reliable
    assert any("too far apart" in note for note in fit.notes)


@pytest.mark.slow
def test_quick_form(tmp_path, capsys):
    arguments = ["--pairs", "digits_mlp-sgd", "--folder", str(tmp_path)]
    outcome = coverage.main(arguments, quick=True)
    files = sorted((tmp_path / "digits_mlp-sgd").iterdir())
    before = [path.stat().st_mtime_ns for path in files]
    assert json.loads((tmp_path / "coverage.json").read_text()).keys() == outcome.keys()
    assert {"critical batch size", "steps at 64", "rate at 512"} <= set(
        outcome["digits_mlp-sgd, 2 seeds"]["numbers"]
    )
    coverage.main(["collect", *arguments], quick=True)  # finds all of it
    assert [path.stat().st_mtime_ns for path in files] == before
    assert "covered" in capsys.readouterr().out
