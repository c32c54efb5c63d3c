"""The identity of a workload's arrays."""

from __future__ import annotations

import hashlib

import jax
import numpy as np

from lr_batch.workload import Workload


def data_hash(workload: Workload) -> str:
    """16 hex digits over names, dtypes, shapes and bytes of the training and held-out arrays."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path((workload.train_data, workload.eval_data)):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.view(np.uint8).data if array.size else b"")
    return digest.hexdigest()[:16]
