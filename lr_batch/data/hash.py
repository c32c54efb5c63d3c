"""Hash of the data of a workload: stored with every trial, so that changed data cannot go unnoticed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

import jax
import numpy as np

from lr_batch.problem.column import Column, is_streamed
from lr_batch.problem.workload import PyTree, Workload

KEPT = "lr_batch_hashes.json"  # beside the records


def data_hash(workload: Workload) -> str:
    """SHA-256 in hex over the names, dtypes, shapes and bytes of the training and the held-out arrays.

    The same whether they are held in memory or streamed; then all are read once, and the hash is kept beside the records.

    That of a stand-in begins with these words: it can never be taken for the data in whose place it stands.
    """
    parts = {"train": workload.train_data, "eval": workload.eval_data}
    digest = _kept(parts) if is_streamed(parts) else hash_arrays(parts)
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


def _kept(parts: PyTree) -> str:
    """The hash of parts that have columns, from the folder of the records where it is known there."""
    columns = [leaf for leaf in jax.tree.leaves(parts) if isinstance(leaf, Column)]
    folder = columns[0].source.folder
    if folder is None or not all(column.source.described for column in columns):
        return hash_arrays(parts)
    key, path = _what(parts), folder / KEPT
    known = _read(path)
    if key not in known:
        known = {**known, key: hash_arrays(parts)}
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):  # a folder that may not be written to costs time, nothing else
            temporary.write_text(json.dumps(known))
            temporary.replace(path)
    return known[key]


def _read(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _what(parts: PyTree) -> str:
    """Says what the parts are without reading columns."""
    told = lambda leaf: (leaf.source.described, leaf.name) if isinstance(leaf, Column) else hash_arrays(leaf)
    described = [
        (jax.tree_util.keystr(path), leaf.dtype.str, leaf.shape, told(leaf))
        for path, leaf in jax.tree_util.tree_leaves_with_path(parts)
    ]
    return hashlib.sha256(repr(described).encode()).hexdigest()
