"""What the conformance suite knows about each optimizer, and the small problem it trains."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim import OPTIMIZERS, Optimizer

SHAPES = {"b": (3,), "k": (2, 2, 3, 4), "s": (), "w": (4, 3)}


class Row(NamedTuple):
    """An optimizer and the flags of its tests.

    partial: works on a part of the tree, which a method that calls the loss cannot.
    evaluated: parameters are to be mapped by `eval_params` before they are judged.
    """

    optimizer: Optimizer
    partial: bool = True
    evaluated: bool = False


FLAGS = {
    "lbfgs": {"partial": False},
    "sam": {"partial": False},
    "schedule_free_sgd": {"evaluated": True},
    "schedule_free_adamw": {"evaluated": True},
}
ROWS = {name: Row(optimizer, **FLAGS.get(name, {})) for name, optimizer in OPTIMIZERS.items()}


def params_of(seed: int, dtype=jnp.float32):
    """Normal parameters of the shapes above."""
    keys = jax.random.split(jax.random.key(seed), len(SHAPES))
    return {name: jax.random.normal(key, shape, dtype) for key, (name, shape) in zip(keys, SHAPES.items())}


def loss(params, target):
    """Half the squared distance to a target, with curvatures from 1 to 100 along every leaf."""

    def part(leaf, goal):
        curvature = jnp.geomspace(1.0, 100.0, leaf.size, dtype=leaf.dtype).reshape(leaf.shape)
        return 0.5 * jnp.sum(curvature * (leaf - goal) ** 2)

    return sum(jax.tree.leaves(jax.tree.map(part, params, target)))


def step(tx, params, state, target):
    """One update with everything that the engine passes; returns new parameters and state."""

    def value_fn(p):
        return loss(p, target)

    grads = jax.grad(value_fn)(params)
    updates, state = tx.update(
        grads, state, params, value=value_fn(params), grad=grads, value_fn=value_fn, grad_fn=jax.grad(value_fn)
    )
    return optax.apply_updates(params, updates), state


def train(tx, params, num_steps: int):
    """`num_steps` steps under `lax.scan`, towards a target that moves a little at every step."""
    tx = optax.with_extra_args_support(tx)

    def body(carry, key):
        noise = jax.random.normal(key)
        target = jax.tree.map(lambda p: jnp.full_like(p, 0.1 * noise), params)
        return step(tx, *carry, target), None

    keys = jax.random.split(jax.random.key(7), num_steps)
    return jax.lax.scan(body, (params, tx.init(params)), keys)[0]
