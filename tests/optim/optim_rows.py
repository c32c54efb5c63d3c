"""What the conformance suite knows about each optimizer, and the small problem it trains."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optim import OPTIMIZERS, Optimizer

# Matrices and kernels are square as matrices: where the first gradient is rank-deficient, SOAP's basis of
# its null space is whatever rounding makes of it, and no two programs agree.
SHAPES = {"b": (3,), "k": (1, 2, 2, 4), "s": (), "w": (3, 3)}


class Row(NamedTuple):
    """An optimizer and the flags of its tests.

    partial: works on a part of the tree, which a method that calls the loss cannot.
    solves: leaves of the quadratic that it must solve.
    real_only: refuses complex parameters.
    on_meshes: runs where devices hold different parameters, and its state is made of trees of parameters.
    lane_steps: steps over which lanes are compared; few where rounding decides a branch.
    """

    optimizer: Optimizer
    partial: bool = True
    solves: tuple[str, ...] = tuple(SHAPES)
    real_only: bool = False
    on_meshes: bool = True
    lane_steps: int = 12  # beyond the second refresh of Shampoo and SOAP


FLAGS = {
    "lbfgs": {"partial": False, "lane_steps": 4, "real_only": True, "on_meshes": False},
    "shampoo": {"real_only": True},
    "soap": {"real_only": True},
    "sam": {"partial": False},
    "lars": {"solves": ("k", "w")},  # vectors take the raw rate, far above that of matrices, and diverge
}
ROWS = {name: Row(optimizer, **FLAGS.get(name, {})) for name, optimizer in OPTIMIZERS.items()}


def params_of(seed: int, dtype="float32"):
    """Normal parameters of the shapes above; drawn by NumPy, since JAX's generator takes long to compile."""
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=shape), dtype) for name, shape in SHAPES.items()}


def loss(params, target):
    """Half the squared distance to a target, with curvatures from 1 to 100 along every leaf."""

    def part(leaf, goal):
        curvature = jnp.asarray(np.geomspace(1.0, 100.0, leaf.size).reshape(leaf.shape), leaf.dtype)
        return 0.5 * jnp.sum(curvature * (leaf - goal) ** 2)

    return sum(jax.tree.leaves(jax.tree.map(part, params, target)))


def step(tx, params, state, target):
    """One update with everything that the engine passes; returns new parameters and state."""

    def value_fn(p):
        return loss(p, target)

    grads = jax.grad(value_fn)(params)
    extra = {"value": value_fn(params), "grad": grads, "value_fn": value_fn, "grad_fn": jax.grad(value_fn)}
    updates, state = tx.update(grads, state, params, **extra)
    return optax.apply_updates(params, updates), state


def train(tx, params, num_steps: int):
    """`num_steps` steps under `lax.scan`, towards a target that moves a little at every step."""
    tx = optax.with_extra_args_support(tx)

    def body(carry, level):
        target = jax.tree.map(lambda p: jnp.full_like(p, level), params)
        return step(tx, *carry, target), None

    levels = jnp.asarray(np.random.default_rng(7).normal(size=num_steps, scale=0.1), jnp.float32)
    return jax.lax.scan(body, (params, tx.init(params)), levels)[0]


def half_square(params):
    """The loss |p|^2 / 2, whose gradient is p."""
    return 0.5 * sum(jnp.sum(jnp.abs(leaf) ** 2) for leaf in jax.tree.leaves(params))


def update(tx, grads, state, params, **extra):
    """One update with all that line searches and SAM take, and what nobody takes."""
    given = dict(value=half_square(params), grad=grads, value_fn=half_square, grad_fn=lambda p: grads)
    return tx.update(grads, state, params, **given, **extra)
