"""Arrays whose rows are read when they are asked for: of data that do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Int

from lr_batch.problem.trees import PyTree

KEPT_BYTES = 64  # of a row, at most, of a column that is kept once it has been read whole, such as labels
BLOCK_ROWS = 4_096  # read at once where a column is read whole


@runtime_checkable
class Source(Protocol):
    """Examples with random access.

    Attributes:
      num_rows: how many there are.
      columns: shape and dtype of one row of each column, by name.
      described: says what the rows are, and changes with them; "" where only reading them can tell.
      folder: where they lie, and where what is worked out of them may be kept; None in memory.
    """

    num_rows: int
    columns: Mapping[str, jax.ShapeDtypeStruct]
    described: str
    folder: Path | None

    def read(self, rows: Int[np.ndarray, " n"], names: Sequence[str]) -> dict[str, np.ndarray]:
        """The rows `[n, ...]` of these columns. Called from several threads."""
        ...

    def about_damaged(self) -> str:
        """Which examples could not be read so far; "" where all could."""
        ...


class Column:
    """A column of a source, with the shape, dtype and indexing of an array.

    Indexing reads; `numpy.asarray` reads all of it.
    """

    def __init__(self, source: Source, name: str, row_shape: tuple[int, ...] | None = None):
        self.source, self.name = source, name
        row = source.columns[name]
        self.shape = (source.num_rows, *(row.shape if row_shape is None else row_shape))
        self.dtype = np.dtype(row.dtype)
        self.ndim = len(self.shape)
        self.nbytes = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        self._kept: np.ndarray | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Of a slice, a list of row numbers, or one of them."""
        places = np.arange(len(self))[rows]
        if self._kept is not None:
            return self._kept[places]
        read = self.source.read(places.reshape(-1), [self.name])[self.name]
        return read.reshape(*places.shape, *self.shape[1:])

    def as_rows(self, read: np.ndarray) -> np.ndarray:
        """What the source has read, in the shape of this column's rows."""
        return read.reshape(len(read), *self.shape[1:])

    def flat(self) -> Column:
        """The same with each row as a vector."""
        return Column(self.source, self.name, (int(np.prod(self.shape[1:])),))

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, in order, a block of them at a time."""
        for first in range(0, len(self), BLOCK_ROWS):
            yield self[first : first + BLOCK_ROWS]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._kept is None:
            whole = np.concatenate(list(self.blocks()))
            if whole.nbytes <= KEPT_BYTES * len(whole):
                self._kept = whole
        else:
            whole = self._kept
        return np.array(whole, dtype) if copy else whole.astype(dtype or whole.dtype, copy=False)

    def __repr__(self) -> str:
        return f"Column({self.name!r}, {self.dtype} {self.shape})"


class ArraySource:
    """Examples that lie in the memory of the host, for a device that has no room for all of them."""

    described: str = ""
    folder: Path | None = None

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.arrays = {name: np.asarray(array) for name, array in arrays.items()}
        self.num_rows = len(next(iter(self.arrays.values())))
        self.columns: Mapping[str, jax.ShapeDtypeStruct] = {
            name: jax.ShapeDtypeStruct(array.shape[1:], array.dtype) for name, array in self.arrays.items()
        }

    def read(self, rows: Int[np.ndarray, " n"], names: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: self.arrays[name][rows] for name in names}

    def about_damaged(self) -> str:
        return ""


def is_streamed(data: PyTree) -> bool:
    """Whether any part of the data is read only when it is asked for."""
    return any(isinstance(leaf, Column) for leaf in jax.tree.leaves(data))


def about_damaged(data: PyTree) -> tuple[str, ...]:
    """What could not be read of the data so far, a sentence for each source."""
    columns = [leaf for leaf in jax.tree.leaves(data) if isinstance(leaf, Column)]
    said = dict.fromkeys(column.source.about_damaged() for column in columns)
    return tuple(
        f"{what}: the next record that can be read was trained on in its place" for what in said if what
    )


def columns_of(data: PyTree) -> PyTree:
    """Arrays as columns that stay in the memory of the host; columns as they are."""
    if is_streamed(data):
        return data
    paths = jax.tree_util.tree_leaves_with_path(data)
    source = ArraySource({jax.tree_util.keystr(path): leaf for path, leaf in paths})
    columns = [Column(source, jax.tree_util.keystr(path)) for path, _ in paths]
    return jax.tree.unflatten(jax.tree.structure(data), columns)


def lies_in_memory(data: PyTree) -> bool:
    """Whether no part of the data is on a disk."""
    columns = [leaf for leaf in jax.tree.leaves(data) if isinstance(leaf, Column)]
    return all(isinstance(column.source, ArraySource) for column in columns)


def arrays_of(data: PyTree) -> PyTree:
    """Columns that stay in the memory of the host as arrays; others as they are."""
    return jax.tree.map(np.asarray, data) if lies_in_memory(data) else data


def read_rows(data: PyTree, rows: Int[np.ndarray, " n"]) -> PyTree:
    """The rows of all arrays and columns; columns of one source are read together."""
    leaves, structure = jax.tree.flatten(data)
    columns = [leaf for leaf in leaves if isinstance(leaf, Column)]
    names: dict[Source, list[str]] = {}
    for column in columns:
        names.setdefault(column.source, []).append(column.name)
    read = {source: source.read(rows, of_source) for source, of_source in names.items()}
    of = lambda leaf: (
        leaf.as_rows(read[leaf.source][leaf.name]) if isinstance(leaf, Column) else np.asarray(leaf)[rows]
    )
    return jax.tree.unflatten(structure, [of(leaf) for leaf in leaves])


def read_whole(data: PyTree) -> PyTree:
    """All rows as arrays."""
    total = jax.tree.leaves(data)[0].shape[0]
    firsts = range(0, total, BLOCK_ROWS)
    blocks = [read_rows(data, np.arange(first, min(first + BLOCK_ROWS, total))) for first in firsts]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)
