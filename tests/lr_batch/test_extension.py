"""Where the grid of learning rates grows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lr_batch.extension import RATES, beyond, describe, rates_to_add
from lr_batch.problem.workload import Goal
from lr_batch.result import BUDGET, DIVERGED, REACHED, Curve, EngineReport, Result

GRID = (0.1, 0.2, 0.4, 0.8)


def result(steps, status=None, ends=None, grid=GRID):
    """One batch size, one seed; NaN steps did not reach the goal and ended at the metric `ends`."""
    steps = np.asarray(steps, float)
    ends = np.full(len(grid), 1.0) if ends is None else ends
    return Result(
        workload="w",
        optimizer="o",
        goal=Goal("loss", 0.2),
        budget=1000,
        batch_size=np.full(len(grid), 8),
        seed=np.zeros(len(grid), int),
        hparams={"learning_rate": np.array(grid)},
        steps_to_goal=steps,
        steps=np.where(np.isnan(steps), 1000, 2 * np.nan_to_num(steps)).astype(int),
        status=np.array(status or np.where(np.isnan(steps), BUDGET, REACHED), object),
        curves=tuple(Curve(np.array([0, 1000]), np.array([2.3, end])) for end in ends),
        engine=EngineReport(0, 0, 0, 0, "cpu", 4, 0),
    )


@pytest.mark.parametrize(
    ("steps", "added"),
    [
        ([80, 40, 20, 10], (1.6, 3.2, 6.4, 12.8)),
        ([10, 20, 40, 80], (0.05, 0.025, 0.0125, 0.00625)),
        ([30, 10, 20, 80], None),
    ],
)
def test_grows_at_the_edge_where_the_best_rate_is_and_nowhere_else(steps, added):
    assert rates_to_add(result(steps)) == ({8: added} if added else {})


@pytest.mark.parametrize(
    ("ends", "added"),
    [([0.9, 0.8, 0.5, 0.3], "high"), ([0.3, 0.5, 0.8, 0.9], "low"), ([0.9, 0.3, 0.4, 0.9], None)],
)
def test_without_a_rate_that_reached_the_goal_the_closest_decides(ends, added):
    grown = rates_to_add(result([np.nan] * 4, ends=ends))
    assert grown == ({8: beyond(GRID, added)} if added else {})


@pytest.mark.parametrize(
    ("reached", "added"), [((3, 3), "high"), ((0, 3), "low"), ((1, 3), None)], ids=["end", "faster", "inside"]
)
def test_where_too_few_seeds_reached_the_goal_the_end_that_did_it_most_often_decides(reached, added):
    """Two of five seeds, at the rates in places `reached`; of two rates with one seed each the faster one counts."""
    steps = np.full((5, 4), np.nan)
    steps[0, reached[0]], steps[1, reached[1]] = 50, 90
    seeds = [result(row) for row in steps]
    join = lambda name: np.concatenate([getattr(one, name) for one in seeds])
    together = seeds[0]._replace(
        **{name: join(name) for name in ("batch_size", "steps_to_goal", "steps", "status")},
        seed=np.repeat(np.arange(5), 4),
        hparams={"learning_rate": np.tile(GRID, 5)},
        curves=sum((one.curves for one in seeds), ()),
    )
    assert rates_to_add(together) == ({8: beyond(GRID, added)} if added else {})


def test_a_diverged_rate_is_not_the_closest_however_low_its_last_value():
    ended = result([np.nan] * 4, status=[BUDGET, BUDGET, BUDGET, DIVERGED], ends=[0.9, 0.5, 0.8, 0.1])
    assert rates_to_add(ended) == {}


def test_lower_rates_are_added_where_all_diverged():
    assert rates_to_add(result([np.nan] * 4, status=[DIVERGED] * 4)) == {8: beyond(GRID, "low")}


def test_one_rate_has_no_spacing_to_go_on_with():
    assert rates_to_add(result([10], grid=(0.1,))) == {}


@given(low=st.floats(1e-8, 1.0), ratio=st.floats(1.1, 10.0), edge=st.sampled_from(["low", "high"]))
def test_the_spacing_goes_on(low, ratio, edge):
    grid = [low * ratio**i for i in range(4)]
    more = sorted([*grid, *beyond(grid, edge)])
    assert len(more) == 4 + RATES
    np.testing.assert_allclose(np.diff(np.log(more)), np.log(ratio), rtol=1e-3)


def test_every_growth_is_one_line():
    assert describe({8: (1.6, 3.2)}) == (
        "batch size 8: best learning rate on the edge of the grid; 2 rates added, 1.6 to 3.2",
    )
