"""Which steps, and which examples, each window of a stream holds: pure functions of seed, batch size and step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from lr_batch.lanes.order import examples_at
from lr_batch.problem.augmentation import Augmentation, augmented_rows
from lr_batch.problem.column import read_rows
from lr_batch.problem.workload import PyTree, Workload, num_examples

ROWS = 1_024  # of a window, where the batches are smaller and so many rows take no more than
WINDOW_BYTES = 64e6


def window_rows(workload: Workload, batch_sizes: Sequence[int]) -> int:
    """Rows of a window, the same at all batch sizes of a study: at least one step at the largest of them."""
    leaves = jax.tree.leaves(workload.train_data)
    row_bytes = sum(int(np.prod(leaf.shape[1:])) * leaf.dtype.itemsize for leaf in leaves)
    few = int(min(ROWS, WINDOW_BYTES // max(1, row_bytes)))
    return max(1, *batch_sizes, min(few, num_examples(workload.train_data)))


def window_shapes(train_data: PyTree, rows: int) -> PyTree:
    """Of the arrays of a window."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype), train_data)


class Windows(NamedTuple):
    """The windows of a chunk from a step on.

    Attributes:
      seed: of its trials.
      batch_size: a number, or a table with rows (first step, size).
      rows: of a window.
      first, last: the steps that they begin with and end before.
    """

    seed: int
    batch_size: int | Int[np.ndarray, "phases 2"]
    rows: int
    first: int
    last: int

    @property
    def steps(self) -> int:
        """Of a window, but for the last one."""
        largest = self.batch_size if isinstance(self.batch_size, int) else int(self.batch_size[:, 1].max())
        return self.rows // largest

    @property
    def count(self) -> int:
        return -(-(self.last - self.first) // self.steps)

    def begins(self, number: int) -> int:
        """Its first step; that of number `count` is the step that the last one ends before."""
        return min(self.first + number * self.steps, self.last)

    def examples_before(self, step: int) -> int:
        """Examples that the steps before this one have used.

        >>> Windows(0, np.array([[0, 2], [10, 4]]), 8, 0, 20).examples_before(12)
        28
        """
        if isinstance(self.batch_size, int):
            return step * self.batch_size
        firsts, sizes = self.batch_size.astype(np.int64).T
        ends = np.append(firsts[1:], max(step, firsts[-1]))
        return int(np.sum(np.clip(step - firsts, 0, ends - firsts) * sizes))

    def read(self, number: int, train_data: PyTree, augment: Augmentation | None = None) -> PyTree:
        """The examples of a window, in the order of its steps, as they are trained on."""
        low, high = (self.examples_before(self.begins(n)) for n in (number, number + 1))
        positions, total = np.arange(low, high), num_examples(train_data)
        rows = examples_at(self.seed, positions, total)
        data = augmented_rows(augment, read_rows(train_data, rows), self.seed, positions // total, rows)
        return jax.tree.map(self._filled, data)

    def _filled(self, leaf: np.ndarray) -> np.ndarray:
        """With its last row again and again: what masked examples read must be an example, as where all are held."""
        missing = self.rows - len(leaf)
        return np.concatenate([leaf, np.repeat(leaf[-1:], missing, axis=0)]) if missing else leaf
