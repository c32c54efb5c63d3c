"""What the benchmark counts and projects: loads, races, intervals, sums by batch size."""

from __future__ import annotations

import numpy as np
import pytest
from bench_work import all_rows, timing

from lr_batch.engine import Cadence, shuffled
from runs.bench import loads, process_pool, projection, summary
from runs.bench.compare import Turn


def test_projection_of_exact_timings_is_exact():
    work = {1: loads.Load(3, 100, 20), 8: loads.Load(2, 130, 18)}
    timings = [timing(1, step=2.0), timing(1, step=2.0, steps=3), timing(8, step=1.0)]
    guess = projection.estimate(timings, work, np.random.default_rng(0))
    assert guess.by_size == pytest.approx({1: 3 + 200 + 10, 8: 2 + 130 + 0.5 * 18})
    assert guess.seconds == pytest.approx(sum(guess.by_size.values()))
    assert guess.low <= guess.seconds <= guess.high


def test_interval_of_the_projection_covers_the_truth():
    """100 studies with 12 trials, truth 1000 s: an interval of 90 % misses more than 22 once in 10^4 were
    it exact; a bootstrap of 12 covers about 85 %."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(100):
        timings = [timing(1, step=float(s), evaluation=0.0) for s in rng.gamma(16, 1 / 16, 12)]
        guess = projection.estimate(timings, {1: loads.Load(0, 1_000, 0)}, rng)
        covered += guess.low <= 1_000 <= guess.high
    assert covered >= 78


def cut_and_sampled() -> tuple[dict, dict]:
    """Two seeds of three rates at batch size 4, the slowest cut off by the race, and the first seed without a race."""
    trials = {
        "batch_size": np.array([4] * 6),
        "seed": np.array([0, 0, 0, 1, 1, 1]),
        "learning_rate": np.array([0.1, 0.2, 0.4] * 2),
        "steps_to_goal": np.array([np.nan, 2.5, np.nan, np.nan, 4.0, 3.0]),
        "steps": np.array([5, 5, 5, 6, 6, 6]),
        "status": np.array(["budget", "reached", "budget", "budget", "reached", "reached"]),
    }
    sample = {
        "batch_size": np.array([4, 4]),
        "seed": np.array([0, 0]),
        "learning_rate": np.array([0.05, 0.8]),
        "steps_to_goal": np.array([36.0, np.nan]),
        "steps": np.array([36, 9]),
        "status": np.array(["reached", "diverged"]),
    }
    return trials, sample


def test_cut_trials_go_on_as_the_sample_does():
    trials, sample = cut_and_sampled()
    without = loads.ends_without_race(trials, sample)
    slow, fast = (
        36**0.75 * 9**0.25,
        36**0.25 * 9**0.75,
    )  # rates 0.1 and 0.4 are one octave of four from the ends
    np.testing.assert_allclose(without.last, [slow, 2.5, fast, slow, 4, 3])
    assert without.reaches.tolist() == [True, True, False, True, True, True]
    steps = all_rows(*range(41))
    assert loads.unraced_loads(trials, sample, steps)[4] == loads.Load(6, 26 + 3 + 13 + 26 + 4 + 3, 75 + 6)
    assert loads.oracle_loads(trials, steps)[4] == loads.Load(6, 5 + 3 + 5 + 6 + 4 + 3, 26 + 6)


def test_a_race_of_one_after_the_other_knows_the_best_so_far():
    own = loads.Ends(np.array([30.0, 2.5, 9.0]), np.array([True, True, False]))
    orders = np.array([[0, 1, 2], [1, 0, 2], [2, 0, 1]])
    counts = loads.race_one_by_one(own, orders, lambda last: all_rows(*range(41)).counted(4, last), slack=2.0)
    # The slowest first runs to its end; after the best, which takes 2.5, all others stop at 5; diverging sets no mark.
    np.testing.assert_array_equal(counts[:, :, 0], [[30, 3, 5], [5, 3, 5], [30, 3, 9]])
    np.testing.assert_array_equal(counts[:, :, 1], counts[:, :, 0] + 1)


def test_a_race_lies_between_an_oracle_race_and_none():
    trials, sample = cut_and_sampled()
    raced = loads.raced_loads(trials, sample, all_rows(*range(41)), 2.0, np.random.default_rng(0))[4]
    least, most = (
        loads.oracle_loads(trials, all_rows(*range(41)))[4],
        loads.unraced_loads(trials, sample, all_rows(*range(41)))[4],
    )
    assert least.steps < raced.steps < most.steps


def test_the_sample_knows_the_best_of_its_own_batch_size_and_seed():
    trials = {
        "batch_size": np.array([4, 4, 4, 8]),
        "seed": np.array([0, 0, 1, 0]),
        "steps_to_goal": np.array([10.0, 6.0, 3.0, np.nan]),
    }
    plans = projection.make_plans(trials, {"learning_rate": [1, 2, 3, 4]}, 2.0, 3, np.random.default_rng(0))
    assert {(plan.trial, plan.race) for plan in plans} == {(0, 12.0), (1, 12.0), (2, 6.0), (3, np.inf)}


def test_chunks_are_counted_by_their_last_lane():
    trials = {
        "batch_size": np.array([4, 4, 4, 4]),
        "seed": np.array([0, 0, 1, 1]),
        "steps": np.array([3, 8, 2, 4]),
    }
    evaluations = loads.Evaluations(
        {4: Cadence(np.array([0, 1, 2, 3, 4, 8]), np.array([64, 0, 64, 0, 0, 0]))}, 128
    )
    counts = summary.chunk_counts(trials, evaluations, width=2)
    assert counts[4]["steps"] == 8 + 4 and counts[4]["evaluations"] == 6 + 5
    assert counts[4]["whole"] == 4 + 3 and counts[4]["parts"] == 1 + 1


def test_the_pool_shares_the_work_out():
    turn = Turn([timing(1, step=1.0)], 2.0, 3.0)
    engine = [{"cold": {"seconds": 10.0}, "warm": [5.0]}]
    work = {"raced": {1: loads.Load(0, 1_000, 0)}}
    one = summary.peer_summary("serial", [turn], work, engine)["raced"]
    assert one["seconds"] == 5 + 1_000 and one["times_engine_cold"]["median"] == pytest.approx(100.5)
    pool = summary.peer_summary("pool", [turn], work, engine)
    assert pool["raced"]["seconds"] == 5 + 1_000 / pool["processes"]
    assert sorted(map(len, process_pool.dealt([{}] * 5, 2))) == [2, 3]


def test_a_trial_alone_reads_the_rows_that_the_engine_reads():
    cadence = Cadence(np.array([0, 5, 9]), np.array([2, 0, 3]))
    steps, rows = loads.Evaluations({8: cadence}, 5).of_trial(8, 3)
    assert steps.tolist() == [0, 5, 9] and rows[1] is None
    order, first = shuffled(5), cadence.reads(5, 3)[:, 0]
    np.testing.assert_array_equal(rows[0], order[(first[0] + np.arange(2)) % 5])
    np.testing.assert_array_equal(rows[2], order[(first[2] + np.arange(3)) % 5])


def test_seconds_of_a_batch_size_are_split():
    row = {"batch_size": 8, "step": 2.0, "evaluation": 5.0, "evaluation_in_parts": 7.0, "flops": 1.0}
    row |= {"single_lane_step": 1.0} | dict.fromkeys(
        ("batched_products", "micro_batch_products", "separate_products"), 1.0
    )
    found = summary.by_size(row, {"steps": 10, "evaluations": 4, "whole": 2, "parts": 1.5}, 4, 45.0)
    assert (found["training"], found["evaluating"]) == (20.0, 2 * 5 + 1.5 * 7)
    assert found["waiting"] == 45 - 20 - 20.5
