"""How the lanes of a chunk are executed: all batched, a block of them after the other, or one by one.

`vmap` turns the small products of many lanes into few large ones. A convolution it turns into a grouped
convolution, whose backward pass on a CPU runs at a hundredth of the speed of plain ones; there `lax.map` over
the lanes is better. In between are blocks of a few lanes, whose operands stay in a CPU's cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lr_batch.workload import PyTree

VMAP, BLOCKS, MAP, AUTO = "vmap", "blocks", "map", "auto"
EXECUTIONS = (VMAP, BLOCKS, MAP, AUTO)
BLOCK = 4  # lanes


def over_lanes(function: Callable, in_axes: tuple, out_axes: Any, execution: str) -> Callable:
    """`function` of one lane as a function of all lanes.

    Args:
      function: of one lane.
      in_axes, out_axes: as for `jax.vmap`, each axis 0 or None.
      execution: "vmap", "blocks" or "map".
    """
    together = jax.vmap(function, in_axes=in_axes, out_axes=out_axes)
    if execution == VMAP:
        return together

    def block_by_block(*args):
        leaves, structure = jax.tree.flatten(args)
        axes = _flat_axes(in_axes, args)
        mapped = [leaf for leaf, axis in zip(leaves, axes, strict=True) if axis is not None]
        size = block_size(len(mapped[0]), execution)

        def one_block(own):
            own = iter(own)
            merged = [leaf if axis is None else next(own) for leaf, axis in zip(leaves, axes, strict=True)]
            return together(*jax.tree.unflatten(structure, merged))

        outputs = jax.lax.map(one_block, [leaf.reshape(-1, size, *leaf.shape[1:]) for leaf in mapped])
        flat, out_structure = jax.tree.flatten(outputs)
        kept = zip(flat, _flat_axes(out_axes, outputs), strict=True)
        # What lanes share came out of each block: the first one's is as good as any.
        join = lambda leaf, axis: leaf[0] if axis is None else leaf.reshape(-1, *leaf.shape[2:])  # noqa: E731
        return jax.tree.unflatten(out_structure, [join(*item) for item in kept])

    return block_by_block


def block_size(lanes: int, execution: str) -> int:
    """Lanes that are executed together: at most `BLOCK` under "blocks", and a divisor of `lanes`.

    >>> [block_size(lanes, "blocks") for lanes in (16, 6, 7)]
    [4, 3, 1]
    """
    largest = {VMAP: lanes, MAP: 1}.get(execution, BLOCK)
    return max(size for size in range(1, min(largest, lanes) + 1) if lanes % size == 0)


def _flat_axes(axes: Any, tree: PyTree) -> list[int | None]:
    """One axis for every leaf of `tree` from a tree prefix of axes, where None is an axis and not an empty tree."""
    is_axis = lambda node: node is None  # noqa: E731
    spread = jax.tree.map(lambda axis, part: [axis] * len(jax.tree.leaves(part)), axes, tree, is_leaf=is_axis)
    return [axis for block in jax.tree.leaves(spread, is_leaf=lambda node: isinstance(node, list)) for axis in block]


def faster(programs: dict[str, Callable[[], Any]], repeats: int = 3) -> str:
    """Name of the program that takes the least time, the best of a few runs each, in turn."""
    for run in programs.values():
        jax.block_until_ready(run())  # compiles
    seconds = {name: np.inf for name in programs}
    for _ in range(repeats):
        for name, run in programs.items():
            began = time.monotonic()
            jax.block_until_ready(run())
            seconds[name] = min(seconds[name], time.monotonic() - began)
    return min(seconds, key=seconds.get)
