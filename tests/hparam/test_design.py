"""Searches as designs of studies: which settings are asked for at each batch size, and when they end."""

import math

import numpy as np
import pytest

from hparam import Space, choice, integer, log, log1m, search_design
from lr_batch import CHOICE, Axis, Searched, Study

SPACE = Space({"learning_rate": log(1e-3, 10), "momentum": log1m(0, 0.999)})


def drive(design, loss, sizes=(8, 64), most=50):
    """All rounds, every setting answered by `loss(size, setting)`; the settings asked for at each size."""
    rounds, told, asked = design.rounds(sizes), None, {size: [] for size in sizes}
    for _ in range(most):
        try:
            wanted = rounds.send(told)
        except StopIteration:
            return asked
        told = {size: np.array([loss(size, one) for one in settings]) for size, settings in wanted.items()}
        for size, settings in wanted.items():
            asked[size] += settings
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("search", ["random", "quasi_random", "grid"])
def test_a_search_that_does_not_adapt_gives_all_batch_sizes_the_same_settings(search):
    asked = drive(search_design(SPACE, search, trials=9), lambda size, one: float(size))
    assert asked[8] == asked[64] and len(asked[8]) == 9


@pytest.mark.parametrize("search, trials", [("bayes", 36), ("coarse_to_fine", 50)])
def test_a_search_that_adapts_goes_where_each_batch_size_wants(search, trials):
    target = {8: 0.01, 64: 1.0}
    loss = lambda size, one: abs(math.log(one["learning_rate"] / target[size]))
    asked = drive(search_design(SPACE, search, trials=trials, ask=12), loss)
    assert asked[8][:12] == asked[64][:12]
    for size, other in ((8, 64), (64, 8)):
        near = np.median([loss(size, one) for one in asked[size][-10:]])
        assert near < np.median([loss(other, one) for one in asked[size][-10:]])


def test_what_is_not_feasible_is_asked_for_again_by_the_same_sequence():
    high = lambda size, one: np.inf if size == 64 and one["learning_rate"] > 1 else 0.0
    asked = drive(search_design(SPACE, "quasi_random", trials=16), high)
    feasible = [one for one in asked[64] if np.isfinite(high(64, one))]
    assert len(asked[8]) == 16 and asked[64][:16] == asked[8]
    assert len(feasible) == 16 and len(asked[64]) > 16


def test_a_search_ends_at_twice_the_settings_where_nothing_is_feasible():
    asked = drive(search_design(SPACE, "quasi_random", trials=10), lambda size, one: np.nan)
    assert len(asked[8]) == 20 and len({tuple(one.values()) for one in asked[8]}) == 20


def test_a_space_that_is_used_up_ends_the_search():
    small = Space({"learning_rate": choice(0.1, 0.2, 0.4), "order": integer(1, 2)})
    design = search_design(small, "random", trials=50)
    assert design.searched.trials == 6
    assert len(drive(design, lambda size, one: np.inf)[8]) == 6


def test_a_study_trains_what_the_search_proposes_with_what_is_fixed():
    design = search_design(Space({"learning_rate": log(1e-2, 1)}), trials=5)
    study = Study("noisy_quadratic", "momentum", space={"momentum": (0.5,)}, design=design)
    assert len(study.settings) == study.num_settings == 5
    assert {setting["momentum"] for setting in study.settings} == {0.5}
    assert study.num_trials == 5 * len(study.batch_sizes) * 4


def test_what_was_searched_is_read_back_from_the_store():
    space = Space({"learning_rate": log(1e-3, 10), "width": choice(4, 2, 8), "n": integer(1, 9)})
    searched = search_design(space, "bayes", trials=7, seed=3, ask=4).searched
    assert Searched.read(searched.described, 7) == searched
    assert searched.axes["width"] == Axis(CHOICE, (2.0, 4.0, 8.0))


@pytest.mark.parametrize("scale, values", [("log", (0.01, 4.0)), ("log1m", (0.0, 0.99)), ("int", (1, 9))])
def test_an_axis_is_its_own_inverse(scale, values):
    axis = Axis(scale, values)
    inside = axis.from_unit(np.linspace(0, 1, 7))
    assert axis.from_unit(axis.to_unit(inside)) == pytest.approx(inside)
    assert (inside[0], inside[-1]) == pytest.approx(values)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"search": "asha"}, "asha compares trials before they end"),
        ({"search": "sobol"}, "unknown search 'sobol'"),
        ({"trials": 0}, "trials must be from 1"),
        ({"search": "grid", "options": {"depth": 2}}, "grid has no option 'depth'"),
        ({"space": Space({"learning_rate": log(0.1, 1), "act": choice("relu", "tanh")})}, "must be numbers"),
    ],
)
def test_wrong_searches_are_one_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        search_design(options.pop("space", SPACE), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "space, message",
    [
        ({"learning_rate": (0.1,), "momentum": (0.9,)}, "learning_rate is searched and fixed"),
        ({"momentum": (0.5, 0.9)}, "momentum takes one value beside it, got 2"),
        ({"momentum": (0.9,), "nesterof": (1.0,)}, "unknown hyperparameter"),
    ],
)
def test_wrong_spaces_beside_a_search_are_one_line(space, message):
    design = search_design(Space({"learning_rate": log(1e-2, 1)}), trials=5)
    with pytest.raises(ValueError, match=message) as error:
        Study("noisy_quadratic", "momentum", space=space, design=design)
    assert "\n" not in str(error.value)
