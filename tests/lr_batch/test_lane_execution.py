"""Lanes executed in blocks or one by one do what they do all at once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import run, tiny_study

import lr_batch
from lr_batch.lanes.execution import block_size, over_lanes
from lr_batch.problem.workload import BLOCKS, MAP, VMAP

LANES = 8  # two blocks


def step(rate, state, draw):
    """A sum of the lane itself, a count that lanes share, and the next draw."""
    own, count = state
    return (own + rate * count, count + draw), draw + 1


@pytest.mark.parametrize("updated", [None, 1])
@pytest.mark.parametrize("execution", [BLOCKS, MAP])
def test_lanes_and_what_they_share_are_as_if_batched(execution, updated):
    rates = jnp.arange(1.0, LANES + 1)
    state, draw = (10 * rates, jnp.float32(5)), jnp.float32(3)
    axes = ((0, (0, None), None), ((0, None), None))
    together = over_lanes(step, *axes, VMAP)(rates, state, draw)
    apart = jax.jit(over_lanes(step, *axes, execution, updated=updated))(rates, state, draw)
    assert jax.tree.all(jax.tree.map(np.array_equal, apart, together))
    assert apart[0][0].tolist() == [15.0 * rate for rate in range(1, LANES + 1)] and apart[1] == 4


@pytest.mark.parametrize("execution", [BLOCKS, MAP])
@pytest.mark.parametrize("living", [[0], [7], [1, 6], [0, 1, 2, 3]])
def test_blocks_without_a_living_lane_are_left_out(execution, living):
    """Their lanes stay as they are, what lanes share goes on, and nothing is computed for them."""
    rates, alive = jnp.arange(1.0, LANES + 1), np.isin(np.arange(LANES), living)
    computed = []

    def counted(rate, state, draw):
        jax.debug.callback(lambda rate: computed.append(float(rate)), rate)
        return step(rate, state, draw)

    state, draw = (10 * rates, jnp.float32(5)), jnp.float32(3)
    axes = ((0, (0, None), None), ((0, None), None))
    alone = over_lanes(counted, *axes, execution, updated=1, alive=lambda *args: jnp.asarray(alive))
    (own, count), after = jax.jit(alone)(rates, state, draw)
    jax.effects_barrier()
    size = block_size(LANES, execution)
    executed = np.repeat(alive.reshape(-1, size).any(axis=1), size)
    np.testing.assert_array_equal(own, np.where(executed, 15.0 * rates, 10.0 * rates))
    assert (float(count), float(after)) == (8.0, 4.0)
    assert sorted(computed) == np.asarray(rates)[executed].tolist()

    values = over_lanes(lambda rate: 2 * rate, (0,), 0, execution, alive=lambda *args: jnp.asarray(alive))
    np.testing.assert_array_equal(jax.jit(values)(rates), np.where(executed, 2 * rates, 0.0))


@pytest.mark.parametrize("lanes", [BLOCKS, MAP])
def test_lanes_that_diverge_or_fill_the_width_change_nothing(lanes):
    """Two rates in a chunk of eight lanes, one of which diverges at once: what the other does in a chunk of its own."""
    fields = dict(batch_sizes=(6,), lanes=lanes, slack=float("inf"), budget=40)
    alone = run(tiny_study(**fields, space={"learning_rate": (0.1,)}), width=8)
    beside = run(tiny_study(**fields, space={"learning_rate": (1e38, 0.1)}), width=8)
    assert set(beside.status[beside.hparams["learning_rate"] > 1]) == {"diverged"}
    for one, other in zip(alone.curves, beside.curves[::2], strict=True):
        np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.parametrize("lanes", [BLOCKS, MAP])
def test_an_optimizer_that_counts_its_steps_counts_each_once(lanes):
    """Adam's bias correction differs at every step."""
    study = tiny_study(
        optimizer=lambda hparams: optax.adam(hparams["learning_rate"]),
        space={"learning_rate": lr_batch.log_grid(0.003, 0.3, LANES)},
        batch_sizes=(6,),
    )
    together, apart = (run(tiny) for tiny in (study, dataclasses.replace(study, lanes=lanes)))
    np.testing.assert_array_equal(apart.status, together.status)
    np.testing.assert_allclose(apart.steps_to_goal, together.steps_to_goal, rtol=1e-4)
