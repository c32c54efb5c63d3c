"""The training loop of the teaching recipes: one compiled scan, many lanes under vmap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

PyTree = Any


def descend(
    optimizer: optax.GradientTransformation,
    loss: Callable[[PyTree, PyTree], jax.Array],
    params: PyTree,
    batches: PyTree,
    observe: Callable[[PyTree], PyTree],
) -> tuple[PyTree, PyTree]:
    """One step per batch.

    Args:
      optimizer: made inside the lane, so that its hyperparameters may be traced.
      loss: `(params, batch) -> scalar`.
      params: where to start.
      batches: tree of arrays with a leading axis of steps.
      observe: what to keep of the parameters after each step.

    Returns:
      Parameters at the end, and `observe(params)` with a leading axis of steps.
    """

    def step(carry: tuple[PyTree, Any], batch: PyTree) -> tuple[tuple[PyTree, Any], PyTree]:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params, batch), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), observe(params)

    (params, _), observed = jax.lax.scan(step, (params, optimizer.init(params)), batches)
    return params, observed
