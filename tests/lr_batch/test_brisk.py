"""Races that let lanes go before their end: which, and that nothing of the others changes."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import run, tiny_study

import lr_batch
from lr_batch import BUDGET, REACHED, Goal
from lr_batch.engine import Identity
from lr_batch.engine.terms import terms_of
from lr_batch.lanes.race import is_behind
from lr_batch.problem.brisk import BRISK, SAFETY
from lr_batch.problem.reaching import averaged

GOALS = {1: Goal("loss", 0.1), -1: Goal("gain", -0.1, above=True)}
STUDY = {"lanes": "map", "batch_sizes": (4, 40), "budget": 400, "goal": "loss<0.4"}


@pytest.fixture(scope="module")
def both():
    return tuple(run(tiny_study(**STUDY, brisk=brisk)) for brisk in (False, True))


def test_what_is_known_stays_bit_for_bit(both):
    plain, brisk = both
    np.testing.assert_array_equal(plain.steps_to_goal, brisk.steps_to_goal)
    for whole, short in zip(plain.curves, brisk.curves, strict=True):
        np.testing.assert_array_equal(whole.values[: len(short.values)], short.values)
        np.testing.assert_array_equal(whole.steps[: len(short.steps)], short.steps)


def test_lanes_that_reached_the_goal_stop_there_and_those_behind_from_the_first_lane_on(both):
    """Replayed by the definition on the whole curves."""
    plain, brisk = both
    behind = SAFETY * 2.0
    for size in STUDY["batch_sizes"]:
        for seed in (0, 1):
            rows = np.flatnonzero((plain.batch_size == size) & (plain.seed == seed))
            first = np.nanmin(plain.steps_to_goal[rows])
            steps = plain.curves[rows[0]].steps
            average = {
                row: averaged(plain.curves[row].steps, plain.curves[row].values, plain.time_constant)
                for row in rows
            }
            best = np.min(list(average.values()), axis=0)
            for row in rows:
                lost = [
                    step
                    for step, value in zip(steps, average[row], strict=True)
                    if step >= first and value >= best[: np.searchsorted(steps, step / behind, "right")].min()
                ]
                at_goal = [step for step in steps if step >= plain.steps_to_goal[row]]
                assert brisk.steps[row] == min([*lost, *at_goal, plain.steps[row]])
                assert brisk.status[row] == plain.status[row]
    assert (brisk.steps < plain.steps).sum() > len(brisk.steps) / 2
    assert set(brisk.status[brisk.steps < plain.steps]) == {REACHED, BUDGET}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_lane_is_behind_where_it_is_no_better_than_the_best_one_was(sign):
    """At step 8, and 1 / 2 of it: the best average of the three evaluations up to step 4 is 0.5."""
    average = sign * np.array([0.4, 0.5, 0.6, np.nan], np.float32)
    best = np.array([0.9, 0.5, 0.5, 0.3], np.float32)
    terms = terms_of(
        [{"a": 1.0}], 1, batch_size=1, cadence=np.array([0, 2, 4, 8]), goal=GOALS[sign], behind=2.0
    )
    lanes = is_behind(jnp.asarray(best), jnp.asarray(average), jnp.int32(8), terms)
    assert lanes.tolist() == [False, True, True, True]


def test_fewer_examples_are_counted_and_it_is_said(both):
    plain, brisk = both
    assert plain.engine.programs_compiled and not brisk.engine.programs_compiled
    assert brisk.engine.examples < 0.9 * plain.engine.examples
    assert BRISK in brisk.engine.events and BRISK not in plain.engine.events


def test_it_is_a_study_of_its_own():
    plain, brisk = (Identity.of(tiny_study(brisk=brisk), 4, "map").described() for brisk in (False, True))
    assert brisk == plain | {"brisk": True}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"brisk": 1}, "brisk must be True or False"),
        ({"slack": float("inf")}, "without a race"),
        ({"reached": "first"}, "reached 'average'"),
    ],
)
def test_it_is_refused_where_it_cannot_work(changes, words):
    with pytest.raises(ValueError, match=words):
        tiny_study(**{"brisk": True} | changes)


def test_it_is_refused_where_all_lanes_are_batched():
    with pytest.raises(ValueError, match="saves nothing where all lanes are batched, as those of tiny"):
        lr_batch.run(tiny_study(brisk=True, lanes="vmap"))
