"""Averages are found in the state of any optimizer, ours and Optax's, wherever they are nested."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optim

PARAMS = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([3.0])}
RATE = 0.1


def trained(tx, steps=3):
    """Parameters and state after some steps on |p|^2 / 2."""
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(steps):
        updates, state = tx.update(params, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def close(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, theirs)


NESTS = {
    "alone": lambda tx: tx,
    "chain": lambda tx: optax.chain(optax.clip_by_global_norm(1e9), tx),
    "masked by all": lambda tx: optax.masked(tx, {"a": True, "b": True}),
    "finite": lambda tx: optax.apply_if_finite(tx, 3),
    "accumulated": lambda tx: optax.MultiSteps(tx, 1).gradient_transformation(),
}


@pytest.mark.parametrize("nest", NESTS)
def test_optax_state_gives_what_optax_gives(nest):
    tx = optax.contrib.schedule_free_sgd(RATE)
    params, state = trained(tx)
    expected = optax.contrib.schedule_free_eval_params(state, params)
    assert not np.allclose(expected["a"], params["a"], rtol=1e-3)
    for method in (tx, optim.schedule_free_sgd(RATE)):
        params, state = trained(NESTS[nest](method))
        close(optim.eval_params(state, params), expected)
        close(optim.averaged_params(state, params), expected)


def test_parts_of_a_tree_have_averages_of_their_own():
    labels = {"a": "free", "b": "plain"}
    free = optim.schedule_free_sgd(RATE)
    whole = optim.eval_params(*reversed(trained(free)))
    params, state = trained(optax.partition({"free": free, "plain": optax.sgd(RATE)}, labels))
    evaluated = optim.eval_params(state, params)
    close(evaluated["a"], whole["a"])
    np.testing.assert_array_equal(evaluated["b"], params["b"])
    both = {"free": free, "plain": optax.contrib.schedule_free_sgd(RATE)}
    close(optim.eval_params(*reversed(trained(optax.partition(both, labels)))), whole)


def test_without_averages_and_with_two():
    params, state = trained(optax.adam(RATE))
    assert optim.eval_params(state, params) is params
    with pytest.raises(
        ValueError, match="averaged_params: opt_state holds no ScheduleFreeState; eval_params"
    ):
        optim.averaged_params(state, params)
    free = optim.schedule_free_sgd(RATE)
    with pytest.raises(ValueError, match="two schedule-free averages of the same parameter"):
        optim.eval_params(free.init(PARAMS), PARAMS) and optim.eval_params(
            (state, free.init(PARAMS)) * 2, PARAMS
        )
