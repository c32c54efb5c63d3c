"""What JAX and Python's own machinery ask of the regularizers."""

from __future__ import annotations

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import reg
from reg import REGULARIZERS
from reg.l2 import l2

RATE = {"learning_rate": 0.1}


@pytest.mark.parametrize("name", REGULARIZERS)
def test_rows_can_be_pickled_and_copied(name):
    row = REGULARIZERS[name]
    for again in (pickle.loads(pickle.dumps(row)), copy.copy(row), copy.deepcopy(row)):
        assert again == row and isinstance(again, reg.Regularizer)
        assert isinstance(again({**RATE, row.strength: row.off}), reg.Applied)


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_averages_have_buffers_of_their_own_and_do_not_stall_in_bfloat16(name):
    """The parameters rise to 2 in the first step; after 2,000 the average is there within 2 %."""
    row = REGULARIZERS[name]
    values = {"ema": {"ema": 0.998}, "swa": {"swa_start": 0.0, "swa_every": 1.0}}[name]
    tx = reg.regularized(optax.identity(), row(values))
    params = {"w": jnp.ones(3, jnp.bfloat16)}
    state = tx.init(params)
    average = state.after.average["w"]
    assert average.unsafe_buffer_pointer() != params["w"].unsafe_buffer_pointer()

    def body(carry, count):
        params, state = carry
        updates = {"w": jnp.where(count == 0, 1.0, 0.0).astype(jnp.bfloat16) * jnp.ones_like(params["w"])}
        updates, state = tx.update(updates, state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, state), _ = jax.lax.scan(body, (params, state), jnp.arange(2000))
    evaluated = row.eval_params(state, params)["w"]
    assert evaluated.dtype == jnp.bfloat16
    np.testing.assert_allclose(evaluated.astype(jnp.float32), 2.0, rtol=0.02)


def test_a_factory_names_its_strength_and_the_row_its_method():
    with pytest.raises(ValueError, match=r"^l2: strength must be in \[0, inf\), got -1.0"):
        l2(-1.0)
    with pytest.raises(ValueError, match=r"^l2: l2 must be in \[0, inf\), got -1.0"):
        REGULARIZERS["l2"]({"l2": -1.0})


def test_l2_of_complex_weights_is_real():
    loss = l2(0.5).loss(lambda params, batch, key: jnp.zeros(2), None)
    np.testing.assert_allclose(loss({"w": jnp.array([[3.0 + 4.0j]])}, None, None), 12.5)
