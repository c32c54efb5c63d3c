"""Kronecker factors of blocks: one square matrix per block and dimension.

Blocks are [n, d_1, ..., d_k] (`optim.blocks`); their factors are a tuple of k arrays
[n, d_i, d_i], empty where a leaf has none.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

Factors = tuple[jax.Array, ...]


def unfold(blocks: jax.Array, axis: int) -> jax.Array:
    """The blocks with dimension `axis` as rows and all others as columns, [n, d_axis, columns]."""
    front = jnp.moveaxis(blocks, axis + 1, 1)
    return front.reshape(*front.shape[:2], -1)


def second_moments(blocks: jax.Array) -> Factors:
    """G_i G_i^T of every block G unfolded along each dimension i."""
    unfolded = [unfold(blocks, axis) for axis in range(blocks.ndim - 1)]
    return tuple(rows @ rows.mT for rows in unfolded)


def multiply(blocks: jax.Array, factors: Factors) -> jax.Array:
    """Every block times its factor along each dimension: F_1 G F_2^T for a matrix G."""
    for axis, factor in enumerate(factors):
        front = jnp.moveaxis(blocks, axis + 1, 1)
        product = factor @ unfold(blocks, axis)
        blocks = jnp.moveaxis(product.reshape(front.shape), 1, axis + 1)
    return blocks


def identities(n: int, size: tuple[int, ...], dtype) -> Factors:
    """Factors that leave n blocks of a size as they are."""
    return tuple(jnp.broadcast_to(jnp.eye(dim, dtype=dtype), (n, dim, dim)) for dim in size)


def on_all(fn: Callable[..., jax.Array], *trees, pad: float) -> object:
    """`fn([matrices, s, s], ...) -> [matrices, s, s]` once for all square matrices of the trees.

    Matrices are padded to the largest, with `pad` on the added diagonal, and stacked: one
    batched LAPACK call. Several independent ones in a program deadlock jaxlib 0.10 on the
    CPU, unless its concurrency-optimized scheduler is off.
    """
    leaves, structure = jax.tree.flatten(trees[0])
    if not leaves:
        return trees[0]
    sizes = [leaf.shape[-1] for leaf in leaves]
    stacked = fn(*(stack(jax.tree.leaves(tree), max(sizes), pad) for tree in trees))
    pieces, start = [], 0
    for leaf, size in zip(leaves, sizes, strict=True):
        pieces.append(stacked[start : start + leaf.shape[0], :size, :size].astype(leaf.dtype))
        start += leaf.shape[0]
    return jax.tree.unflatten(structure, pieces)


def stack(matrices: list[jax.Array], size: int, pad: float) -> jax.Array:
    """All matrices in one array [matrices, size, size], with `pad` on the added diagonal."""

    def padded(matrix):
        extra = size - matrix.shape[-1]
        added = jnp.diag(jnp.where(jnp.arange(size) < size - extra, 0.0, pad)).astype(matrix.dtype)
        return jnp.pad(matrix, ((0, 0), (0, extra), (0, extra))) + added[None]

    return jnp.concatenate([padded(matrix) for matrix in matrices])


def keep_finite(new, old):
    """`new`, with the old matrix wherever the new one has an entry that is not finite."""

    def choose(n, o):
        return jnp.where(jnp.isfinite(n).all((-1, -2), keepdims=True), n, o)

    return jax.tree.map(choose, new, old)
