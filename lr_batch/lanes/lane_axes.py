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
from jax.custom_batching import custom_vmap

PyTree = Any


def _batched_leaves(fn: Callable, in_axes: tuple, args: tuple) -> PyTree:
    """For each leaf of `fn`'s output, whether it differs between lanes when `fn` is mapped over `in_axes`."""
    seen = []

    @custom_vmap
    def probe(tree):
        return tree

    @probe.def_vmap
    def rule(axis_size, in_batched, tree):
        del axis_size
        seen.append(in_batched[0])
        return tree, in_batched[0]

    mapped = jax.vmap(lambda *xs: probe(fn(*xs)), in_axes=in_axes, axis_size=2)
    outputs = jax.eval_shape(mapped, *args)
    return (
        seen[0] if seen else jax.tree.map(lambda _: False, outputs)
    )  # no rule is asked where nothing differs


def lane_axes(init: Callable, step: Callable, per_lane: PyTree) -> PyTree:
    """Axes of a state for `jax.vmap`: 0 where it differs between lanes, None where they share it.

    Args:
      init: `per_lane -> state`.
      step: `(per_lane, state) -> state`.
      per_lane: shapes (`jax.ShapeDtypeStruct`) of what differs between lanes, for one lane.
    """
    stack = lambda batched, leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype) if batched else leaf
    lanes = jax.tree.map(lambda leaf: stack(True, leaf), per_lane)
    batched = _batched_leaves(init, (0,), (lanes,))
    state = jax.eval_shape(init, per_lane)
    while True:  # a leaf once found to differ stays so, hence at most as many rounds as leaves
        axes = jax.tree.map(lambda b: 0 if b else None, batched)
        after = _batched_leaves(step, (0, axes), (lanes, jax.tree.map(stack, batched, state)))
        merged = jax.tree.map(lambda a, b: a or b, batched, after)
        if merged == batched:
            return axes
        batched = merged
