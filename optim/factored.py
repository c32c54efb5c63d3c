"""Which leaves of a tree have Kronecker factors, and how these are kept: one array for each leaf.

The factors of a leaf are a tuple of [blocks, d_i, d_i]; in the state they stand side by side in one array
[blocks, d_1^2 + ... + d_k^2], [0] where a leaf has none. So a state has a tree of the structure of the
parameters with an array at each leaf, which is what Flax nnx and `optax.tree_map_params` take.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optim import kronecker
from optim.blocks import Layout, gathered, layout, merge, scattered_as, split


class Factored(NamedTuple):
    """How leaves are cut and which have factors; the arguments are those of `scale_by_shampoo`."""

    block_size: int
    vectors: bool
    matricize: bool
    merge_dims: int | None = None

    def covers(self, leaf: jax.Array) -> bool:
        return leaf.size > 0 and (self.vectors or leaf.ndim >= 2)

    def layout(self, leaf: jax.Array) -> Layout:
        return layout(leaf.shape, self.block_size, self.matricize, self.merge_dims)

    def cut(self, leaf: jax.Array) -> jax.Array:
        """The blocks of a leaf, [blocks, d_1, ..., d_k], in float32 at least: LAPACK has no bfloat16."""
        return split(gathered(leaf), self.layout(leaf)).astype(jnp.promote_types(leaf.dtype, jnp.float32))

    def join(self, blocks: jax.Array, leaf: jax.Array) -> jax.Array:
        """The inverse of `cut`, in the shape of `leaf`."""
        return scattered_as(merge(blocks, self.layout(leaf), leaf.shape), leaf)

    def identities(self, leaf: jax.Array) -> jax.Array:
        """Packed factors that leave a leaf as it is."""
        dtype = jnp.promote_types(leaf.dtype, jnp.float32)
        if not self.covers(leaf):
            return vary_as(jnp.zeros(0, dtype), leaf)
        cut = self.layout(leaf)
        return vary_as(_pack(kronecker.identities(math.prod(cut.grid), cut.size, dtype)), leaf)

    def second_moments(self, leaf: jax.Array) -> jax.Array:
        """Packed G_i G_i^T of every block G unfolded along each dimension i."""
        return (
            _pack(kronecker.second_moments(self.cut(leaf))) if self.covers(leaf) else jnp.zeros(0, leaf.dtype)
        )

    def unpack(self, leaf: jax.Array, packed: jax.Array) -> kronecker.Factors:
        """The factors of a leaf; none where it has none."""
        if not self.covers(leaf):
            return ()
        pieces, start = [], 0
        for dim in self.layout(leaf).size:
            pieces.append(packed[:, start : start + dim * dim].reshape(-1, dim, dim))
            start += dim * dim
        return tuple(pieces)

    def unpack_all(self, leaves: Any, packed: Any) -> Any:
        """A tree of packed factors as one with a tuple of factors at each leaf."""
        return jax.tree.map(self.unpack, leaves, packed)

    def pack_all(self, factors: Any, packed: Any) -> Any:
        """The inverse of `unpack_all`; leaves without factors stay as they are in `packed`."""
        return jax.tree.map(lambda old, own: _pack(own) if own else old, packed, factors)


def vary_as(leaf: jax.Array, *trees: Any) -> jax.Array:
    """`leaf`, told to `jax.shard_map` to differ between devices wherever one of the trees does.

    The branches of `cond` must agree in that. Zeros made like an array differ where it does; they cost nothing.
    """
    zeros = [jnp.zeros_like(other, dtype=leaf.dtype, shape=()) for other in jax.tree.leaves(trees)]
    return leaf + sum(zeros) if zeros else leaf


def _pack(factors: kronecker.Factors) -> jax.Array:
    return jnp.concatenate([factor.reshape(factor.shape[0], -1) for factor in factors], axis=1)
