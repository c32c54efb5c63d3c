"""How the lanes of a chunk are executed: all batched, a block of them after the other, or one by one.

`vmap` turns the small products of many lanes into few large ones. It turns a convolution into a grouped
one, whose backward pass on a CPU runs at a hundredth of the speed of plain ones; there one
lane after the other is better. In between are blocks of a few lanes, whose operands stay in a CPU's cache. Blocks in
which no lane is alive can be left out. Over a mesh each row of devices executes its own lanes in this way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from lr_batch.lanes.mesh import over_rows
from lr_batch.problem.workload import MAP, VMAP, PyTree

BLOCK = 4  # lanes


def over_lanes(
    function: Callable,
    in_axes: tuple,
    out_axes: Any,
    execution: str,
    *,
    updated: int | None = None,
    alive: Callable[..., Bool[Array, " lanes"]] | None = None,
) -> Callable:
    """`function` of one lane as a function of all lanes.

    Args:
      function: of one lane.
      in_axes, out_axes: as for `jax.vmap`, each axis 0 or None.
      execution: "vmap", "blocks" or "map".
      updated: number of the argument that the first output takes the place of, if any. Blocks of lanes are then
        overwritten one by one; otherwise memory holds all lanes twice, as they were and as they become.
      alive: of the arguments, which lanes the outputs are asked for, if not for all. A block without any is left out: it
        stays as it is where it would be overwritten, and is zero elsewhere. At least one lane is alive where lanes share
        any output. Lanes that are all batched cost the same, alive or not.
    """
    together = jax.vmap(function, in_axes=in_axes, out_axes=out_axes)
    if execution == VMAP:
        return over_rows(together, in_axes, out_axes)

    def block_by_block(*args):
        mapped = zip(jax.tree.leaves(args), _flat_axes(in_axes, args), strict=True)
        lanes = next(len(leaf) for leaf, axis in mapped if axis is not None)
        size = block_size(lanes, execution)

        def one_block(index, outputs):
            inputs = list(args)
            if updated is not None:  # every block begins from what lanes shared before the first
                inputs[updated] = _where_mapped(
                    lambda _, new: new, in_axes[updated], args[updated], outputs[0]
                )
            read = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, index * size, size)
            write = lambda own, leaf: jax.lax.dynamic_update_slice_in_dim(leaf, own, index * size, 0)
            own = _where_mapped(read, in_axes, tuple(inputs))
            if alive is None:
                block = together(*own)
            else:
                left_out = lambda: _left_out(together, own, out_axes, outputs, updated)
                block = jax.lax.cond(jnp.any(read(alive(*args))), lambda: together(*own), left_out)
            # What lanes share comes out of each block: the last one's is as good as any.
            return _where_mapped(write, out_axes, block, outputs)

        outputs = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(together, *args)
        )
        if updated is not None:
            outputs = (args[updated], *outputs[1:])
        return jax.lax.fori_loop(0, lanes // size, one_block, outputs)

    return over_rows(block_by_block, in_axes, out_axes)


def _left_out(together: Callable, own: tuple, out_axes: Any, outputs: PyTree, updated: int | None) -> PyTree:
    """What stands for a block that is not executed: what lanes share stays as blocks before have left it."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(together, *own))
    if updated is not None:
        zeros = (own[updated], *zeros[1:])
    leaves = zip(_flat_axes(out_axes, outputs), jax.tree.leaves(outputs), jax.tree.leaves(zeros), strict=True)
    kept = [before if axis is None else here for axis, before, here in leaves]
    return jax.tree.unflatten(jax.tree.structure(outputs), kept)


def block_size(lanes: int, execution: str) -> int:
    """How many lanes are executed together: at most `BLOCK` under "blocks", and a divisor of `lanes`.

    >>> [block_size(lanes, "blocks") for lanes in (16, 6, 7)]
    [4, 3, 1]
    """
    largest = {VMAP: lanes, MAP: 1}.get(execution, BLOCK)
    return max(size for size in range(1, min(largest, lanes) + 1) if lanes % size == 0)


def _where_mapped(function: Callable, axes: Any, *trees: PyTree) -> PyTree:
    """`function` of the leaves that have a lane axis; of the others those of the first tree."""
    leaves = zip(*map(jax.tree.leaves, trees), strict=True)
    flat = zip(_flat_axes(axes, trees[0]), leaves, strict=True)
    made = [own[0] if axis is None else function(*own) for axis, own in flat]
    return jax.tree.unflatten(jax.tree.structure(trees[0]), made)


def _flat_axes(axes: Any, tree: PyTree) -> list[int | None]:
    """One axis for every leaf of `tree` from a tree prefix of axes, where None is an axis and not an empty tree."""
    is_axis = lambda node: node is None
    spread = jax.tree.map(lambda axis, part: [axis] * len(jax.tree.leaves(part)), axes, tree, is_leaf=is_axis)
    return [
        axis
        for block in jax.tree.leaves(spread, is_leaf=lambda node: isinstance(node, list))
        for axis in block
    ]
