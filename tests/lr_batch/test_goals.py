"""Other goals from the same trials, against studies that were asked for them."""

import numpy as np
import pytest
from searched_study import searched_result
from tiny import run, tiny_study

import lr_batch
from lr_batch.analysis.goals import easier_goals


@pytest.fixture(scope="module")
def result():
    return run(tiny_study())


def test_at_its_own_goal_nothing_changes(result):
    again = lr_batch.at_goal(result, result.goal)
    np.testing.assert_allclose(again.steps_to_goal, result.steps_to_goal, rtol=1e-4)
    assert again.status.tolist() == result.status.tolist()


def test_an_easier_goal_is_as_if_it_had_been_asked_for(result):
    asked = run(tiny_study(goal="loss<0.8"))
    read = lr_batch.at_goal(result, "loss<0.8")
    reached = asked.status == "reached"
    assert reached.sum() > 8
    np.testing.assert_allclose(read.steps_to_goal[reached], asked.steps_to_goal[reached], rtol=1e-4)


def test_a_harder_goal_only_bounds_what_was_not_trained_so_far(result):
    harder = lr_batch.at_goal(result, "loss<0.3")
    lost = harder.status == "budget"
    assert lost.any() and np.isnan(harder.steps_to_goal[lost]).all()
    np.testing.assert_array_equal(harder.steps, result.steps)
    far = run(tiny_study(goal="loss<0.3", slack=float("inf")))
    truth = np.where(np.isnan(far.steps_to_goal), np.inf, far.steps_to_goal)
    assert (truth[lost] >= harder.steps[lost] * 0.999).all()


@pytest.mark.parametrize("goal", ["error<0.1", "loss>0.5"])
def test_curves_of_other_metrics_were_not_kept(result, goal):
    with pytest.raises(ValueError, match="at_goal: the curves of these trials are of loss < 0.5"):
        lr_batch.at_goal(result, goal)


def test_easier_goals_lie_between_the_goal_and_the_start(result):
    start = np.median([curve.values[0] for curve in result.curves])
    thresholds = [goal.threshold for goal in easier_goals(result)]
    assert len(thresholds) >= 3
    assert sorted(thresholds) == thresholds and result.goal.threshold < thresholds[0] < thresholds[-1] < start


def test_a_search_has_fewer_easier_goals_since_each_takes_a_surface():
    searched = searched_result(seeds=1, trials=4)
    assert [goal.threshold for goal in easier_goals(searched)] == [0.41, 1.0]
    assert easier_goals(searched_result(seeds=1, trials=4, sizes=(16, 32, 64))) == ()
