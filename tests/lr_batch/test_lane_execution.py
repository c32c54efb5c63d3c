"""Lanes executed in blocks or one by one do what they do all at once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import tiny_study

import lr_batch
from lr_batch.lanes.execution import over_lanes
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


@pytest.mark.parametrize("lanes", [BLOCKS, MAP])
def test_an_optimizer_that_counts_its_steps_counts_each_once(lanes):
    """Adam's bias correction differs at every step."""
    study = tiny_study(
        optimizer=lambda hparams: optax.adam(hparams["learning_rate"]),
        space={"learning_rate": lr_batch.log_grid(0.003, 0.3, LANES)},
        batch_sizes=(6,),
    )
    together, apart = (lr_batch.run(tiny) for tiny in (study, dataclasses.replace(study, lanes=lanes)))
    np.testing.assert_array_equal(apart.status, together.status)
    np.testing.assert_allclose(apart.steps_to_goal, together.steps_to_goal, rtol=1e-4)
