"""Twenty steps of an optimizer and of its definition, for the tests that compare the two in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

STEPS = 20
RATE = 0.1


def gradients(shape=(5, 5)):
    """Twenty gradients and a start, normal and of full rank."""
    draws = np.random.default_rng(3).normal(size=(STEPS + 1, *shape))
    return draws[0], draws[1:]


def run(tx, shape=(5, 5)):
    """The parameters after every one of the steps, in float64."""
    start, grads = gradients(shape)
    with jax.enable_x64(True):

        def body(carry, grad):
            params, state = carry
            updates, state = tx.update({"w": grad}, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params["w"]

        params = {"w": jnp.asarray(start)}
        path = jax.jit(lambda p, g: jax.lax.scan(body, (p, tx.init(p)), g)[1])
        return np.asarray(path(params, jnp.asarray(grads)))


def by_hand(step, shape=(5, 5)):
    """The same for `step(t, w, g, memory) -> w`, t from 1."""
    w, grads = gradients(shape)
    memory, path = {}, []
    for t, g in enumerate(grads, start=1):
        w = step(t, w, g, memory)
        path.append(w)
    return np.stack(path)


def agree(tx, step, shape=(5, 5)):
    np.testing.assert_allclose(run(tx, shape), by_hand(step, shape), rtol=1e-10, atol=1e-10)


def root(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values**exponent) @ vectors.T


def moments(t, g, m, b1=0.9, b2=0.999):
    """Adam's bias-corrected moments; `m` is the memory."""
    m["m"] = b1 * m.get("m", 0) + (1 - b1) * g
    m["v"] = b2 * m.get("v", 0) + (1 - b2) * g**2
    return m["m"] / (1 - b1**t), m["v"] / (1 - b2**t)
