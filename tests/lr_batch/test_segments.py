"""Lanes that stop, change chunks and go on, against lanes that never stopped."""

import jax
import numpy as np
import optax
import pytest
from tiny import tiny_workload

from lr_batch import as_optimizer
from lr_batch.engine.cadence import evaluation_steps
from lr_batch.engine.chunk import Chunk
from lr_batch.engine.programs import Engine
from lr_batch.engine.segments import gather_lanes, run_segment, segment_cadence
from lr_batch.engine.terms import terms_of
from lr_batch.lanes.lane import make_lane
from lr_batch.lanes.race import state_axes

WIDTH, BUDGET, BATCH = 4, 60, 7  # ten epochs of 40 examples: the order turns over within segments
CADENCE = evaluation_steps(BUDGET)
RATES = (0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0)
DEVICE = jax.local_devices()[0]


def adam(hparams):
    return optax.adam(hparams["learning_rate"])


@pytest.fixture(scope="module")
def engine():
    sizes = {"width": WIDTH, "max_evals": len(CADENCE), "batch_sizes": (4,)}
    return Engine(tiny_workload(), as_optimizer(adam), "loss", hparams=("learning_rate",), **sizes)


@pytest.fixture(scope="module")
def axes():
    workload = tiny_workload()
    return state_axes(
        make_lane(workload, as_optimizer(adam), "loss"), ("learning_rate",), workload.train_data
    )


def train(engine, rates, start, stop, *, seed=0, carry=None):
    cadence, num = segment_cadence(CADENCE, start, stop)
    settings = tuple({"learning_rate": rate} for rate in rates)
    terms = terms_of(settings, WIDTH, batch_size=BATCH, cadence=cadence, num_evals=num)
    chunk = Chunk(None, BATCH, seed, settings)
    return run_segment(engine, DEVICE, chunk, terms, carry)


def test_lanes_of_two_chunks_go_on_as_if_never_stopped(engine, axes):
    """Bit for bit: three segments, lanes compacted from two chunks in another order, beside changed
    neighbours."""
    whole, ends = zip(*(train(engine, RATES[i : i + WIDTH], 0, BUDGET) for i in (0, WIDTH)), strict=True)
    _, firsts = zip(*(train(engine, RATES[i : i + WIDTH], 0, 7) for i in (0, WIDTH)), strict=True)
    kept = [(1, 3), (0, 1), (1, 0)]  # chunk and lane of those that go on
    rates = [RATES[chunk * WIDTH + lane] for chunk, lane in kept]
    carry = gather_lanes([(firsts[chunk], lane) for chunk, lane in kept], axes, WIDTH)
    second, carry = train(engine, rates, 7, 20, carry=carry)
    again = gather_lanes([(carry, 2), (carry, 0)], axes, WIDTH)
    third, carry = train(engine, [rates[2], rates[0]], 20, BUDGET, carry=again)
    for lane, (chunk, number) in enumerate([kept[2], kept[0]]):
        np.testing.assert_array_equal(third.values[-1, lane], whole[chunk].values[-1, number])
        mine = jax.tree.map(lambda leaf, lane=lane: leaf[lane], carry.lanes.params)
        full = jax.tree.map(lambda leaf, number=number: leaf[number], ends[chunk].lanes.params)
        jax.tree.map(np.testing.assert_array_equal, mine, full)
    shared = np.isin(whole[1].eval_steps, second.eval_steps)
    evaluated = np.isin(second.eval_steps, CADENCE)
    np.testing.assert_array_equal(second.values[evaluated, 0], whole[1].values[shared, 3])
    assert third.eval_steps[-1] == BUDGET and list(third.steps) == [BUDGET, BUDGET]


def test_counters_stay_shared_and_lanes_beyond_the_sources_do_not_count(engine, axes):
    _, carry = train(engine, RATES[:WIDTH], 0, 5)
    gathered = gather_lanes([(carry, 2)], axes, WIDTH)
    assert list(gathered.lanes.alive) == [True, False, False, False]
    assert gathered.lanes.opt_state[0].count.shape == () and gathered.lanes.opt_state[0].count == 5
    assert gathered.evals == 0 and np.isnan(gathered.values).all() and bool(gathered.running)


def test_a_lane_may_be_copied_and_go_on_under_another_rate(engine, axes):
    """What population-based training does."""
    _, carry = train(engine, RATES[:WIDTH], 0, 5)
    result, _ = train(engine, [0.1, 0.2], 5, 20, carry=gather_lanes([(carry, 2), (carry, 2)], axes, WIDTH))
    alone, _ = train(engine, [0.1], 5, 20, carry=gather_lanes([(carry, 2)], axes, WIDTH))
    assert result.values[-1, 0] == alone.values[-1, 0] != result.values[-1, 1]


def test_diverged_lanes_stay_so(engine, axes):
    _, carry = train(engine, RATES[:WIDTH], 0, 5)
    dead = carry._replace(lanes=carry.lanes._replace(alive=np.zeros(WIDTH, bool)))
    result, _ = train(engine, [0.1], 5, 20, carry=gather_lanes([(dead, 2)], axes, WIDTH))
    assert result.status == ("diverged",) and len(result.eval_steps) == 0


def test_lanes_that_do_not_fit_together_are_refused(engine, axes):
    _, early = train(engine, RATES[:WIDTH], 0, 5)
    _, late = train(engine, RATES[:WIDTH], 0, 6)
    with pytest.raises(ValueError, match=r"one \(seed, step\), got \[\(0, 5\), \(0, 6\)\]"):
        gather_lanes([(early, 0), (late, 0)], axes, WIDTH)
    with pytest.raises(ValueError, match=r"must be in \[1, 4\], got 5"):
        gather_lanes([(early, 0)] * 5, axes, WIDTH)


def test_segments_share_one_program(engine):
    assert len(engine.compile_seconds) == 2
