"""Several processes that train one chunk together, as `jax.distributed` connects them.

Each of them runs the same calls. What would differ between them, such as times, free memory, and what a store holds, is
found out by the first process and told to the others: they would wait for each other for ever otherwise.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from lr_batch.problem.trees import PyTree

T = TypeVar("T")


def agreed(find: Callable[[], T]) -> T:
    """What `find` returns in the first process, which alone calls it. Each process has to ask, in the same order."""
    if jax.process_count() == 1:
        return find()
    from jax.experimental.multihost_utils import broadcast_one_to_all

    known = np.frombuffer(pickle.dumps(find()) if jax.process_index() == 0 else b"", np.uint8)
    told = np.zeros(int(broadcast_one_to_all(np.int32(len(known)))), np.uint8)
    told[: len(known)] = known
    return pickle.loads(np.asarray(broadcast_one_to_all(told), np.uint8).tobytes())


def on_host(tree: PyTree) -> PyTree:
    """Arrays as every process has them, those included whose parts lie on devices of other processes."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    from jax.experimental.multihost_utils import process_allgather

    apart = lambda leaf: isinstance(leaf, jax.Array) and not leaf.is_fully_replicated
    return jax.tree.map(
        lambda leaf: process_allgather(leaf, tiled=True) if apart(leaf) else jax.device_get(leaf), tree
    )


def put(tree: PyTree, places: Any) -> PyTree:
    """Arrays on their devices, those of other processes included.

    Args:
      tree: what all processes have alike; NaN may be among it, which `jax.device_put` would take for a difference.
      places: a sharding, or a prefix of the tree of them.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, places)

    def put_leaf(leaf: Any, place: jax.sharding.Sharding) -> jax.Array:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return jax.device_put(leaf, place)
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, place, lambda part: host[part])

    return jax.tree.map(
        lambda place, part: jax.tree.map(lambda leaf: put_leaf(leaf, place), part), places, tree
    )
