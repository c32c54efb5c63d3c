"""Tensors cut into blocks of one size, the unit that Kronecker-factored methods work on."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec


class Layout(NamedTuple):
    """How a tensor is cut. Dimension i holds `grid[i]` blocks of `size[i]`, the last one zero-padded."""

    tensor: tuple[int, ...]
    grid: tuple[int, ...]
    size: tuple[int, ...]


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape as at most a matrix: kernels (H, W, I, O) become (H W I, O), scalars (1,)."""
    return (math.prod(shape[:-1]), shape[-1]) if len(shape) > 2 else shape or (1,)


def merged_shape(shape: tuple[int, ...], largest: int) -> tuple[int, ...]:
    """Neighbouring dimensions as one while their product is at most `largest`; dimensions of 1 go.

    >>> merged_shape((3, 3, 8, 128), 128), merged_shape((6, 4), 128)
    ((72, 128), (24,))
    """
    dims: list[int] = []
    for dim in shape:
        if dims and dims[-1] * dim <= largest:
            dims[-1] *= dim
        else:
            dims.append(dim)
    return tuple(dim for dim in dims if dim != 1) or (1,)


def layout(
    shape: tuple[int, ...], block_size: int, matricize: bool = True, merge_dims: int | None = None
) -> Layout:
    """Fewest blocks of at most `block_size` a dimension, as even as they can be.

    >>> layout((3, 3, 8, 10), 50)
    Layout(tensor=(72, 10), grid=(2, 1), size=(36, 10))
    """
    if merge_dims is not None:
        tensor = merged_shape(shape, merge_dims)
    else:
        tensor = matrix_shape(shape) if matricize else shape or (1,)
    grid = tuple(max(1, math.ceil(dim / block_size)) for dim in tensor)
    return Layout(tensor, grid, tuple(math.ceil(dim / n) for dim, n in zip(tensor, grid, strict=True)))


def split(leaf: jax.Array, cut: Layout) -> jax.Array:
    """The blocks of a leaf, shape [blocks, *cut.size]."""
    padding = [(0, n * size - dim) for dim, n, size in zip(*cut, strict=True)]
    padded = jnp.pad(leaf.reshape(cut.tensor), padding)
    order = len(cut.size)
    grid_and_size = [length for pair in zip(cut.grid, cut.size, strict=True) for length in pair]
    axes = [*range(0, 2 * order, 2), *range(1, 2 * order, 2)]
    return padded.reshape(grid_and_size).transpose(axes).reshape(math.prod(cut.grid), *cut.size)


def merge(blocks: jax.Array, cut: Layout, shape: tuple[int, ...]) -> jax.Array:
    """The inverse of `split`: the leaf of the given shape."""
    order = len(cut.size)
    axes = [axis for pair in zip(range(order), range(order, 2 * order), strict=True) for axis in pair]
    padded_shape = [n * size for n, size in zip(cut.grid, cut.size, strict=True)]
    padded = blocks.reshape(*cut.grid, *cut.size).transpose(axes).reshape(padded_shape)
    return padded[tuple(slice(dim) for dim in cut.tensor)].reshape(shape)


def gathered(leaf: jax.Array) -> jax.Array:
    """`leaf` whole on every device where a mesh with explicit axes has cut it, since matrices are taken whole."""
    cut = any(axis is not None for axis in jax.typeof(leaf).sharding.spec)
    return jax.sharding.reshard(leaf, PartitionSpec(*[None] * leaf.ndim)) if cut else leaf


def scattered_as(leaf: jax.Array, old: jax.Array) -> jax.Array:
    """The inverse of `gathered`: `leaf` cut as `old`."""
    spec = jax.typeof(old).sharding.spec
    return jax.sharding.reshard(leaf, spec) if any(axis is not None for axis in spec) else leaf
