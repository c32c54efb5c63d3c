"""Hash of the data of a workload: stored with every trial, so that changed data cannot go unnoticed."""

from __future__ import annotations

import hashlib

import jax
import numpy as np

from lr_batch.problem.column import Column
from lr_batch.problem.workload import PyTree, Workload


def data_hash(workload: Workload) -> str:
    """SHA-256 in hex over the names, dtypes, shapes and bytes of the training and the held-out arrays.

    That of a stand-in begins with these words: it can never be taken for the data in whose place it stands.
    """
    digest = hash_arrays({"train": workload.train_data, "eval": workload.eval_data})
    return f"stand-in {digest}" if workload.stand_in else digest


def hash_arrays(arrays: PyTree) -> str:
    """SHA-256 in hex of a tree of arrays. Byte order and memory layout do not matter."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
        leaf = leaf if isinstance(leaf, Column) else np.asarray(leaf)
        dtype = leaf.dtype.newbyteorder("<")
        digest.update(f"{jax.tree_util.keystr(path)} {dtype.str} {leaf.shape}\n".encode())
        for block in leaf.blocks() if isinstance(leaf, Column) else [leaf]:
            digest.update(np.ascontiguousarray(block, dtype).data if block.size else b"")
    return digest.hexdigest()
