"""Searches as designs of studies: which settings are asked for at each batch size, and when they end."""

import math

import numpy as np
import pytest

from hparam import Space, choice, integer, log, log1m, search_design
from lr_batch import CHOICE, DIVERGED, Axis, Length, Searched, Study, best_of_trials, run

SPACE = Space({"learning_rate": log(1e-3, 10), "momentum": log1m(0, 0.999)})
FEW = Space({"learning_rate": choice(0.1, 0.2, 0.3)})


def drive(design, loss, sizes=(8, 64)):
    """Every setting answered by `loss(size, setting)`; the settings asked for at each size."""
    rows = asked_of(design, lambda size, one: loss(size, one.setting), dict.fromkeys(sizes, 270))
    return {size: [one.setting for one in row] for size, row in rows.items()}


def asked_of(design, loss, budgets, most=50):
    """All rounds, `loss(size, asked)`; what was asked for at each size."""
    rounds, told, asked = design.rounds(budgets), None, {size: [] for size in budgets}
    for _ in range(most):
        try:
            wanted = rounds.send(told)
        except StopIteration:
            return asked
        told = {size: np.array([loss(size, one) for one in row]) for size, row in wanted.items()}
        for size, row in wanted.items():
            asked[size] += row
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


@pytest.mark.parametrize("search, begun", [("asha", 40), ("successive_halving", 54), ("hyperband", 45)])
def test_trials_end_at_rungs_that_are_the_same_parts_of_every_budget(search, begun):
    """54 = 2 brackets of 27; 45 = 27 + 12 + 6: a bracket that is begun is trained as a whole."""
    rows = asked_of(search_design(SPACE, search, trials=40), distance, {8: 2700, 64: 270})
    for size, budget in ((8, 2700), (64, 270)):
        rungs = {one.steps for one in rows[size]}
        assert rungs <= {budget // 27, budget // 9, budget // 3, budget} and budget in rungs
        tried = {tuple(one.setting.values()) for one in rows[size]}
        assert len(tried) == begun
        last = min(distance(size, one) for one in rows[size] if one.steps == budget)
        assert last == min(distance(size, one) for one in rows[size])  # the best setting was trained whole
        assert sum(one.steps for one in rows[size]) < 0.4 * begun * budget


def distance(size, one):
    return abs(math.log(one.setting["learning_rate"] / {8: 0.01, 64: 1.0}[size]))


@pytest.mark.parametrize("trials", [1, 9])
def test_the_best_of_few_trials_goes_on_to_the_budget(trials):
    """9 trials, 3 and 1 at the next rungs: the last one is a third of the budget."""
    rows = asked_of(search_design(SPACE, "asha", trials=trials), distance, {8: 270})[8]
    (whole,) = [one for one in rows if one.steps == 270]
    assert distance(8, whole) == min(distance(8, one) for one in rows)
    assert not any(
        one.steps == 270
        for one in asked_of(search_design(SPACE, "asha", trials=trials), lambda size, one: np.inf, {8: 270})[
            8
        ]
    )


def test_the_first_rung_in_the_unit_of_an_option():
    parts = {Length(0.1, "budget"): (270, 27), Length(64 * 20, "examples"): (160, 20), 30: (30, 30)}
    for length, firsts in parts.items():
        design = search_design(SPACE, "asha", options={"min_steps": length})
        first = next(design.rounds({8: 2700, 64: 270}))
        for size, budget, low in zip(
            (8, 64), (2700, 270), firsts, strict=True
        ):  # a third of a third of the budget
            assert first[size][0].steps == min(
                step for k in range(6) if (step := round(budget / 3**k)) >= low
            )
    with pytest.raises(
        ValueError, match="min_steps must be at most the budget, which is 20 steps at batch size 64"
    ):
        next(search_design(SPACE, "asha", options={"min_steps": 30}).rounds({8: 160, 64: 20}))


def test_a_setting_that_diverges_at_a_later_rung_is_replaced_too():
    late = lambda size, one: (
        np.inf if one.steps > 10 and one.setting["learning_rate"] < 0.03 else distance(size, one)
    )
    rows = asked_of(search_design(SPACE, "asha", trials=20), late, {8: 270})[8]
    lost = {tuple(one.setting.values()) for one in rows if not np.isfinite(late(8, one))}
    assert lost and len({tuple(one.setting.values()) for one in rows}) == 20 + len(lost)


def test_what_is_not_feasible_is_asked_for_again_by_the_same_sequence():
    high = lambda size, one: np.inf if size == 64 and one["learning_rate"] > 1 else 0.0
    asked = drive(search_design(SPACE, "quasi_random", trials=16), high)
    feasible = [one for one in asked[64] if np.isfinite(high(64, one))]
    assert len(asked[8]) == 16 and asked[64][:16] == asked[8]
    assert len(feasible) == 16 and len(asked[64]) > 16


def test_trials_that_diverge_are_replaced_until_enough_are_feasible():
    """Of a whole study: what diverged with one of two seeds is not feasible either."""
    design = search_design(Space({"learning_rate": log(1e-2, 1e2)}), trials=8)
    study = Study("noisy_quadratic", "sgd", batch_sizes=(8,), seeds=2, budget=60, design=design)
    result = run(study)
    rates = np.unique(result.hparams["learning_rate"])
    lost = {
        rate
        for rate, status in zip(result.hparams["learning_rate"], result.status, strict=True)
        if status == DIVERGED
    }
    assert len(rates) - len(lost) == 8 and 1 <= len(lost) <= 8
    assert min(lost) > max({*rates} - lost)
    (best,) = best_of_trials(result)
    assert (best.feasible, best.infeasible) == (8, len(lost))


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


def generations(loss, **options):
    """Rounds of a population of five at one batch size with a budget of 320 steps, at exchanges of 40, 80 and 160."""
    options = {"size": 5, "interval": 0.125, "truncation": 0.4} | options
    rounds, told, asked = (
        search_design(SPACE, "population", options=options, trials=5).rounds({8: 320}),
        None,
        [],
    )
    while (row := next_of(rounds, told)) is not None:
        asked.append(row)
        told = {8: np.array([loss(i, one) for i, one in enumerate(row)])}
    return asked


def next_of(rounds, told):
    try:
        return rounds.send(told)[8]
    except StopIteration:
        return None


def pieces_of(one):
    """The learning rates of a member, piece by piece."""
    return [one.setting[name] for name in ("learning_rate", *(f"learning_rate.{i}" for i in (1, 2, 3)))]


def test_the_worst_of_a_population_become_changed_copies_of_the_best():
    asked = generations(lambda i, one: 10.0 + i)
    assert [{one.steps for one in row} for row in asked] == [{40}, {80}, {160}, {None}]
    assert {one.setting["change.2"] for row in asked for one in row} == {0.25}
    for number, (before, after) in enumerate(zip(asked, asked[1:], strict=False), 1):
        assert [one.setting for one in after[:3]] == [one.setting for one in before[:3]]  # the best go on
        for child in after[3:]:
            parents = [one for one in before[:2] if pieces_of(one)[:number] == pieces_of(child)[:number]]
            assert parents and all(pieces_of(one)[number] != pieces_of(child)[number] for one in parents)
            assert len(set(pieces_of(child)[number:])) == 1  # the last change goes on


def test_members_that_diverge_are_replaced_and_those_left_are_trained_once_the_best_is_at_the_goal():
    """Of five the first lives; log 90 is a median of 90 steps to the goal, which is before the exchange at 160."""
    first = generations(lambda i, one: 10.0 if i == 0 else np.inf)[1]
    assert len(first) == 5 and len({pieces_of(one)[0] for one in first}) == 1
    asked = generations(
        lambda i, one: np.inf if i == 4 else math.log(90 + i) if one.steps == 160 else 10.0 + i
    )
    assert [{one.steps for one in row} for row in asked] == [{40}, {80}, {160}, {None}]
    assert [one.setting for one in asked[3]] == [one.setting for one in asked[2][:4]]
    assert [len(row) for row in generations(lambda i, one: np.inf)] == [5]


def test_what_was_searched_is_read_back_from_the_store():
    members = search_design(SPACE, "population", trials=20, options={"size": 8}).searched
    assert Searched.read(members.described, members.trials) == members
    assert (members.trials, members.changes) == (24, (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2))
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
        (
            {"search": "population", "options": {"interval": 5}},
            "interval must be a part of the budget up to 50%",
        ),
        ({"search": "population", "options": {"interval": 0.6}}, "interval must be a part of the budget"),
        ({"search": "population", "options": {"size": 1}}, "size must be >= 2, got 1"),
        ({"search": "population", "options": {"min_steps": 9}}, "population has no option 'min_steps'"),
        ({"search": "population", "space": FEW}, "begins with 64 different settings, got a space of 3"),
        ({"search": "asha", "options": {"max_steps": 9}}, "max_steps is the budget of the study"),
        ({"search": "asha", "options": {"eta": 1}}, "eta must be >= 2"),
        ({"search": "sobol"}, "unknown search 'sobol'"),
        ({"trials": 0}, "trials must be from 1"),
        ({"trials": None}, "trials must be a whole number, got None"),
        ({"seed": 0.3}, "seed must be a whole number, got 0.3"),
        ({"ask": []}, "ask must be a whole number, got a list"),
        ({"search": {1}}, "must be a name of hparam.SEARCHES, got a set"),
        ({"options": [1]}, "options must be a mapping from names, got a list"),
        (
            {"options": {"min_steps": Length(np.nan, "steps")}, "search": "asha"},
            "must be a length of at least one",
        ),
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
