"""Tensors cut into blocks of one size, the unit that Kronecker-factored methods work on."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Layout(NamedTuple):
    """How a tensor is cut. Dimension i holds `grid[i]` blocks of `size[i]`, the last one zero-padded."""

    tensor: tuple[int, ...]
    grid: tuple[int, ...]
    size: tuple[int, ...]


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape as at most a matrix: kernels (H, W, I, O) become (H W I, O), scalars (1,)."""
    return (math.prod(shape[:-1]), shape[-1]) if len(shape) > 2 else shape or (1,)


def layout(shape: tuple[int, ...], block_size: int, matricize: bool = True) -> Layout:
    """Fewest blocks of at most `block_size` a dimension, as even as they can be.

    >>> layout((3, 3, 8, 10), 50)
    Layout(tensor=(72, 10), grid=(2, 1), size=(36, 10))
    """
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
    return padded.reshape(grid_and_size).transpose(axes).reshape(-1, *cut.size)


def merge(blocks: jax.Array, cut: Layout, shape: tuple[int, ...]) -> jax.Array:
    """The inverse of `split`: the leaf of the given shape."""
    order = len(cut.size)
    axes = [axis for pair in zip(range(order), range(order, 2 * order), strict=True) for axis in pair]
    padded_shape = [n * size for n, size in zip(cut.grid, cut.size, strict=True)]
    padded = blocks.reshape(*cut.grid, *cut.size).transpose(axes).reshape(padded_shape)
    return padded[tuple(slice(dim) for dim in cut.tensor)].reshape(shape)
