"""The recipe that replays `--follow` on trials that are there."""

import numpy as np
import pytest
from synthetic_study import synthetic_result

from runs.recipes import ridge_window
from runs.recipes.ridge_window import Trials, followed, measured, whole


def test_real_trials_are_replayed(tmp_path):
    outcome = ridge_window.main(["--out", str(tmp_path / "o.json")], quick=True)
    (row,) = outcome.values()
    assert 0.3 < row["examples"][0] < 0.5 and row["edges_that_differ"] == 0
    assert row["moves"]["critical batch size"]["largest"] < 0.25


def test_rounds_race_against_the_best_so_far():
    steps = np.full((1, 2, 16), np.inf)
    steps[0, 0, [6, 8]], steps[0, 1, [4, 8]] = (150.0, 100.0), (50.0, 120.0)
    trials = Trials(np.array([4]), np.geomspace(1e-3, 4.0, 16), steps, np.full((1, 2), 1000.0))
    full, part = whole(trials), followed(trials)
    assert full.examples == 4 * 16 * (200 + 100) and np.isinf(full.steps[0, 1, 8])
    # The second seed looks around the best rate of the first, and has not met its own.
    assert np.isnan(part.steps[0, 1, 4]) and part.steps[0, 1, 8] == 120.0
    assert np.nanmax(part.trained[0, 1]) == 240.0 and part.rounds == 2


def test_a_study_with_rates_left_out_is_refused():
    result = synthetic_result(batch_sizes=(4, 64))
    assert measured(result).steps.shape[0] == 2
    few = result._asdict() | {"hparams": {"learning_rate": result.hparams["learning_rate"].copy()}}
    few["hparams"]["learning_rate"][0] *= 1.01
    with pytest.raises(ValueError, match="is no whole grid"):
        measured(type(result)(**few))
