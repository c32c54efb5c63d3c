"""Held-out examples in equal blocks that are evaluated one after the other."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Bool, Int

from lr_batch.problem.workload import PyTree, num_examples

EVAL_BLOCK = 512  # examples evaluated at once: bounds the memory of their activations
# The same where an evaluation reads a part of them. Fewer leave their place in a CPU's caches to the parameters.
PART_ROWS = {"cpu": 64}


def in_blocks(data: PyTree, size: int) -> tuple[PyTree, Bool[np.ndarray, "blocks n"]]:
    """Rows as equal blocks `[blocks, n, ...]` of at most `size` rows, the last padded with row 0, and their mask."""
    total = num_examples(data)
    blocks = -(-total // size)
    rows = -(-total // blocks)
    index = np.arange(blocks * rows).reshape(blocks, rows)
    mask = index < total
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.where(mask, index, 0)], data), mask


def part_rows() -> int:
    """Examples evaluated at once where an evaluation reads a part of them, on the backend in use."""
    return PART_ROWS.get(jax.default_backend(), EVAL_BLOCK)


def shuffled(num_rows: int) -> Int[np.ndarray, " rows"]:
    """The order in which evaluations go through the held-out rows: a file may be sorted by its labels."""
    # RandomState, because NumPy freezes its stream.
    return np.random.RandomState(0).permutation(num_rows).astype(np.int32)
