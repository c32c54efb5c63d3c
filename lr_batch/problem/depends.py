"""Which results of a function depend on which of its arguments, told from a trace: nothing is compiled or run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.custom_batching import custom_vmap

PyTree = Any


def batched_leaves(fn: Callable, in_axes: tuple, args: tuple) -> PyTree:
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
    # No rule is asked where nothing differs
    return seen[0] if seen else jax.tree.map(lambda _: False, outputs)


def depends_on(fn: Callable, argument: PyTree, *others: PyTree) -> bool:
    """Whether any result of `fn(argument, *others)` depends on the first of them.

    Args:
      fn: the function.
      argument, others: arrays, or their shapes and dtypes.

    >>> import jax.numpy as jnp
    >>> [depends_on(fn, jnp.ones(3)) for fn in (jnp.sum, jnp.zeros_like)]
    [True, False]
    """
    stacked = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), argument)
    axes = (0, *(None for _ in others))
    return any(jax.tree.leaves(batched_leaves(fn, axes, (stacked, *others))))
