"""Figures of several optimizers: each is named, and none hides another."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import overlaps, unfitted, written
from synthetic_study import analysed_study, synthetic_result

from runs.compare.figures import compare_rates, compare_steps, spread
from runs.compare.report import charts_of
from runs.plots import style


def test_twelve_optimizers_keep_their_names_apart():
    names = [f"schedule_free_sgd_{i:02}" for i in range(12)]
    results = [
        synthetic_result(optimizer=name, s_min=60 * 1.01**i, seeds=2, batch_sizes=(8, 64))
        for i, name in enumerate(names)
    ]
    outcomes = [(result, unfitted(result)) for result in results]
    for figure in (compare_steps(outcomes), compare_rates(outcomes)):
        assert overlaps(figure) == []
        assert all(name in written(figure) for name in names)


def test_an_optimizer_that_reached_nothing_is_named_with_the_others():
    both = [
        synthetic_result(seeds=2, batch_sizes=(8, 64), **kind)
        for kind in ({}, {"diverging": True, "optimizer": "bad"})
    ]
    assert "bad: no goal" in written(compare_steps([(result, unfitted(result)) for result in both]))
    assert "upright ticks" not in written(compare_steps([(result, unfitted(result)) for result in both]))


def test_spread_keeps_order_gap_and_bounds():
    rng = np.random.default_rng(0)
    for _ in range(200):
        heights = rng.uniform(0, 1, rng.integers(1, 15))
        placed = spread(heights, 0.05)
        assert (np.argsort(placed, kind="stable") == np.argsort(heights, kind="stable")).all()
        assert (np.diff(np.sort(placed)) >= 0.05 - 1e-12).all()
        assert placed.max() <= 1.0
    np.testing.assert_array_equal(spread([0.1, 0.9], 0.05), [0.1, 0.9])


def test_bars_of_several_optimizers_stand_beside_each_other():
    result, outcome = analysed_study()
    (axes,) = compare_steps([(result._replace(optimizer=name), outcome) for name in "abc"]).axes
    places = [bars.lines[0].get_xdata()[3] for bars in axes.containers]
    assert len(places) == 3 and places == sorted(set(places)) and places[1] == 8
    assert places[2] / places[0] < 2**0.2


@pytest.mark.parametrize(("count", "octaves"), [(1, 0.0), (2, 0.05), (5, 0.2), (12, 0.2)])
def test_many_series_stay_near_the_place_that_they_are_of(count, octaves):
    places = np.log2([style.beside(i, count) for i in range(count)])
    assert places.sum() == pytest.approx(0.0, abs=1e-12)
    assert places[-1] - places[0] == pytest.approx(octaves, abs=1e-12) and (np.diff(places) > 0).all()


def test_bars_stand_beside_each_other_on_the_page_too_and_say_their_own_batch_size():
    result = synthetic_result(batch_sizes=(4, 16), seeds=2)
    outcome = unfitted(result)
    chart = charts_of([(result._replace(optimizer=name), outcome) for name in "abc"])[0].spec["data"]
    places = [trace["x"][0] for trace in chart]
    assert places == sorted(set(places)) and places[1] == 4 and places[2] / places[0] < 2**0.2
    assert all(", 4: " in trace["text"][0] for trace in chart)
