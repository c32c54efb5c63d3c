"""Held-out examples in equal blocks that are evaluated one after the other."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Bool

from lr_batch.problem.workload import PyTree, num_examples

EVAL_BLOCK = 512  # examples evaluated at once: bounds the memory of their activations


def in_blocks(data: PyTree, size: int) -> tuple[PyTree, Bool[np.ndarray, "blocks n"]]:
    """Rows as equal blocks `[blocks, n, ...]` of at most `size` rows, the last padded with row 0, and their mask."""
    total = num_examples(data)
    blocks = -(-total // size)
    rows = -(-total // blocks)
    index = np.arange(blocks * rows).reshape(blocks, rows)
    mask = index < total
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.where(mask, index, 0)], data), mask
