"""Which parts of an optimizer's state all lanes share.

A counter that every lane holds a copy of turns `lax.cond` into a `select` that
runs both branches at every step. Lanes advance in lock-step, so whatever is
computed without their parameters, gradients or hyperparameters is the same in
all of them: such leaves are kept once, without a lane axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from lr_batch.problem.depends import batched_leaves

PyTree = Any


def lane_axes(init: Callable, step: Callable, per_lane: PyTree) -> PyTree:
    """Axes of a state for `jax.vmap`: 0 where it differs between lanes, None where they share it.

    Args:
      init: `per_lane -> state`.
      step: `(per_lane, state) -> state`.
      per_lane: shapes (`jax.ShapeDtypeStruct`) of what differs between lanes, for one lane.
    """
    stack = lambda batched, leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype) if batched else leaf
    lanes = jax.tree.map(lambda leaf: stack(True, leaf), per_lane)
    batched = batched_leaves(init, (0,), (lanes,))
    state = jax.eval_shape(init, per_lane)
    while True:  # a leaf that was found to differ keeps differing: at most as many rounds as there are leaves
        axes = jax.tree.map(lambda b: 0 if b else None, batched)
        after = batched_leaves(step, (0, axes), (lanes, jax.tree.map(stack, batched, state)))
        merged = jax.tree.map(lambda a, b: a or b, batched, after)
        if merged == batched:
            return axes
        batched = merged
