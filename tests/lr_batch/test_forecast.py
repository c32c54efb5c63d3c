"""When a race is likely to end, and how long a study still takes."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from lr_batch.engine import expected_steps
from lr_batch.engine.chunk import Chunk, ChunkResult
from lr_batch.engine.chunk_status import LATEST, SOONEST, ChunkStatus
from lr_batch.engine.identity import Identity
from lr_batch.engine.terms import terms_of
from lr_batch.forecast import Course, Finished, seconds_left
from lr_batch.lanes.lane import Draw, LaneState
from lr_batch.lanes.race import Carry
from lr_batch.problem.workload import Goal
from lr_batch.tally import Tally

STEPS = np.array([0, 1, 2, 4, 8, 16, 32, 64, 1_000], np.int32)
GOAL = Goal("loss", 0.2)


def status(values, *, reached=(), first=np.inf, goal=GOAL, slack=2.0, running=True, lag=0.0) -> ChunkStatus:
    """Of lanes with these curves, a column each."""
    values = np.array(values, np.float32)
    evals, lanes = values.shape
    steps_to_goal = np.full(lanes, np.nan)
    steps_to_goal[: len(reached)] = reached
    terms = terms_of(
        [{"learning_rate": 1.0}] * lanes,
        lanes,
        batch_size=1,
        cadence=STEPS,
        goal=goal,
        time_constant=lag,
        slack=slack,
    )
    zero = np.int32(0)
    carry = Carry(
        draw=Draw(zero, STEPS[evals - 1], zero, zero, np.zeros(2, np.int32)),
        lanes=LaneState((), (), np.isfinite(values[-1]), np.zeros(lanes, np.int32)),
        evals=np.int32(evals),
        steps_to_goal=steps_to_goal.astype(np.float32),
        values=np.pad(values, ((0, len(STEPS) - evals), (0, 0)), constant_values=np.nan),
        value=values[-1],
        average=values[-1],
        first=np.float32(first),
        running=np.bool_(running),
        best=np.full(len(STEPS), np.inf, np.float32),
        let_go=np.zeros(lanes, bool),
    )
    return ChunkStatus.of(carry, terms, lanes, goal.metric, 0.5)


FALLING = [[1.2], [1.2], [1.0], [0.8], [0.6]]  # 0.2 lower with each doubling: at the goal after two more
HALVED = [[3.2], [3.2], [1.6], [0.8], [0.4]]  # with each doubling: at the goal after one more


def test_a_race_ends_by_its_slack_after_the_first_lane_or_by_the_budget():
    curves = np.repeat(FALLING, 2, axis=1)
    assert status(curves, reached=[7.0], first=7.0).end == 14.0
    assert status(curves, reached=[7.0], first=7.0, slack=np.inf).end == 1_000
    assert status(curves, reached=[7.0], first=7.0, running=False).end == 8


@pytest.mark.parametrize(
    ("goal", "curve", "first"),
    [
        (GOAL, HALVED, 16),
        (Goal("accuracy", 0.8, above=True), FALLING, 32),
        (Goal("log_likelihood", -0.2, above=True), FALLING, 32),
        (Goal("energy", -0.8), [[v[0] - 1] for v in FALLING], 32),
    ],
)
def test_a_lane_goes_on_as_over_the_last_half_of_its_steps(goal, curve, first):
    """As a power of the steps towards 0, else as a line in log step. The nearest one counts; one that has diverged and
    one that gets no nearer do not."""
    values = np.array([[v[0], v[0], curve[0][0], np.nan] for v in curve])
    values[:, 1] += 0.5
    values = goal.threshold + 0.2 - values if goal.above else values
    assert status(values, goal=goal).end == pytest.approx(2 * first)
    assert status(values[:, 2:], goal=goal).end == 2 * LATEST * 8


def test_a_metric_with_a_scale_of_its_own_is_told_as_it_is():
    """A perplexity is averaged in its logarithm, in which it falls like the loss above."""
    found = status(np.exp(HALVED), goal=Goal("perplexity", math.exp(0.2)))
    assert found.end == pytest.approx(2 * 16, rel=1e-3)
    assert found.best_value == pytest.approx(math.exp(0.4))


def test_the_average_gets_there_later_than_the_metric():
    assert status(HALVED, lag=0.3).end == pytest.approx(2 * 16 * math.exp(0.3), rel=1e-5)


def test_a_first_lane_is_expected_neither_at_once_nor_beyond_all_bounds():
    assert status([[1.2], [1.2], [1.2], [1.2], [0.21]]).end == pytest.approx(2 * SOONEST * 8)
    assert status([[1.2], [1.2], [1.2], [1.2], [1.19]]).end == 2 * LATEST * 8
    assert status([[1.2]]).end <= 1_000


def test_what_is_best_is_told():
    found = status([[1.0, 0.9, np.nan]], reached=[3.0])
    assert (found.reached, found.alive, found.best_steps) == (1, 2, 3.0)
    assert found.best_value == pytest.approx(0.9)
    assert math.isnan(status([[np.nan]]).best_value) and math.isnan(status([[1.0]]).best_steps)


NO_CURVE = np.zeros(0, int), np.zeros((0, 4))
COSTS = {"steps_at": lambda size: 1_000, "worth": lambda size: float(size), "at_once": 2}


def test_time_left_is_steps_of_chunks_in_flight_and_waiting():
    finished = {64: Finished().plus(100, 50.0).plus(100, 30.0)}  # 0.4 s a step
    flying = [Course(64, 60, 100, 0.5), Course(64, 0, 100, None)]
    assert seconds_left(finished, flying, Counter({64: 3}), **COSTS) == pytest.approx((20 + 40 + 3 * 40) / 2)
    assert seconds_left(finished, flying, Counter(), **COSTS) == pytest.approx(40), "one alone at the end"
    waiting = Counter({16: 4})  # twice the steps, a quarter of their time
    assert seconds_left(finished, [], waiting, **COSTS) == pytest.approx(4 * 200 * 0.1 / 2)
    short = COSTS | {"steps_at": lambda size: 50}
    assert seconds_left(finished, [], waiting, **short) == pytest.approx(4 * 50 * 0.1 / 2)
    assert seconds_left(finished, [], Counter(), **COSTS) == 0


def test_a_chunk_with_fewer_lanes_takes_a_part_of_the_time():
    half = [Course(64, 60, 100, 0.2, 0.5), Course(64, 0, 100, None, 0.5)]  # 0.4 s a step of all lanes
    assert seconds_left({}, half, {64: 1.5}, **COSTS) == pytest.approx((8 + 20 + 1.5 * 40) / 2)
    assert seconds_left({}, half[:1], {64: 0.75}, **COSTS | {"at_once": 9}) == pytest.approx(30), (
        "the longest"
    )
    lanes = {"vmap": 1.0, "blocks": 0.5, "map": 6 / 16}
    for execution, share in lanes.items():
        identity = Identity("w", "d", "o", "p", (), 1, "2.0", None, width=16, lanes=execution, jax="")
        assert identity.share(6) == share and identity.share(16) == 1.0


def test_chunks_of_later_rounds_are_counted():
    identity = Identity("w", "d", "o", "p", ("loss", 0.2), 1, "2.0", None, width=4, lanes="map", jax="")
    chunks = [
        Chunk(identity, size, 0, tuple({"learning_rate": 0.1 * (1 + i)} for i in range(4)))
        for size in (16, 64)
    ]
    tally = Tally(Goal("loss", 0.2), lambda size, steps: size * steps)
    tally.plan(chunks, identity, {64: [2, 2, 1], 32: []})
    rows = ChunkResult(
        np.full(4, 50.0),
        np.full(4, 100),
        ("reached",) * 4,
        np.array([0, 100]),
        np.ones((2, 4)),
        4,
        "",
        "",
        40.0,
    )
    tally.accept(chunks[1], rows)
    costs = COSTS | {"worth": lambda size: 1.0, "at_once": 1}
    assert tally.left(**costs) == pytest.approx(200 * 0.4 + 1.25 * 100 * 0.4)


def test_time_left_is_unknown_only_until_a_step_was_timed():
    assert seconds_left({}, [Course(64, 0, 100, None)], Counter({64: 3}), **COSTS) is None
    assert seconds_left({}, [], Counter({64: 3}), **COSTS) is None
    assert seconds_left({}, [Course(64, 4, 100, 0.5)], Counter(), **COSTS) == pytest.approx(48)


def test_steps_between_known_batch_sizes_lie_between_theirs():
    ends = {4: 400.0, 64: 50.0, 1_024: 30.0}
    slope = 350 / (1 / 4 - 1 / 64)
    assert expected_steps(ends, 16) == pytest.approx(400 + slope * (1 / 16 - 1 / 4))
    assert expected_steps({4: 400.0, 64: 25.0}, 16) == pytest.approx(100.0), "perfect scaling"
    assert expected_steps({4: 20.0, 64: 30.0}, 16) == pytest.approx(math.sqrt(20 * 30))
    assert expected_steps(ends, 1) == pytest.approx(800.0)
    assert expected_steps(ends, 4_096) == pytest.approx(15.0)
    assert expected_steps({64: 50.0}, 4) == pytest.approx(200.0)


def test_finished_chunks_tell_the_end_of_one_that_has_hardly_begun():
    """Four steps say nothing of an end after thousands, a quarter of the expected ones everything."""
    finished = {64: Finished().plus(400, 40.0)}  # 0.1 s a step, and half as many steps as at batch size 16
    course = lambda step, end: Course(16, step, end, 0.4)  # where 0.025 s a step are expected
    left = lambda *own: seconds_left(finished, [course(*own)], {}, **COSTS | {"at_once": 1})
    assert left(0, 8.0) == pytest.approx(800 * 0.025)
    assert left(200, 900.0) == pytest.approx(700 * 0.4)
    assert left(100, 600.0) == pytest.approx((math.sqrt(600 * 800) - 100) * 0.1)
    waiting = seconds_left(finished, [course(4, 8.0)], {16: 1}, **COSTS | {"at_once": 1}) - left(4, 8.0)
    assert waiting == pytest.approx(800 * 0.025, rel=0.2), (
        "as the finished ones, not as one that has hardly begun"
    )


def test_what_the_grid_is_likely_to_grow_by_is_counted_until_it_has_grown():
    identity = Identity("w", "d", "o", "p", ("loss", 0.2), 1, "2.0", None, width=4, lanes="map", jax="")
    chunk = Chunk(identity, 64, 0, tuple({"learning_rate": 0.1 * (1 + i)} for i in range(4)))
    tally = Tally(Goal("loss", 0.2), lambda size, steps: size * steps)
    tally.plan([chunk], identity)
    tally.accept(
        chunk, ChunkResult(np.full(4, 50.0), np.full(4, 100), ("reached",) * 4, *NO_CURVE, 4, "", "", 40.0)
    )
    left = lambda: tally.left(**COSTS | {"at_once": 1})
    assert left() == 0
    tally.expect_beyond(64, identity, [2, 2])
    assert left() == pytest.approx(2 * 0.5 * 40)
    tally.expect_beyond(64, identity, [])
    assert left() == 0
    tally.expect_beyond(64, identity, [2, 2])
    tally.plan([chunk._replace(seed=1)], identity)
    assert left() == pytest.approx(40), "planned now, and no more expected"


def test_a_batch_size_is_looked_at_again_where_its_chunks_have_doubled_or_are_all_finished():
    identity = Identity("w", "d", "o", "p", ("loss", 0.2), 1, "2.0", None, width=1, lanes="map", jax="")
    chunks = [Chunk(identity, 64, seed, ({"learning_rate": 0.1},)) for seed in range(7)]
    tally, told = Tally(Goal("loss", 0.2), lambda size, steps: size * steps), []
    tally.plan(chunks, identity)
    for chunk in chunks:
        curve = np.zeros(0, int), np.zeros((0, 1))
        tally.accept(chunk, ChunkResult(np.ones(1), np.ones(1, int), ("reached",), *curve, 1, "", "", 1.0))
        told.append(tally.tells_more(64))
    assert told == [True, True, False, True, False, False, True]
