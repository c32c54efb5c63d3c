"""How fast a machine does the products of matrices of a function, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from lr_batch.engine import Product

Operands = tuple[jax.Array, jax.Array, jax.Array]  # left, right and what their product is written to
Arrays = tuple[Operands, ...]


def product_loop(wanted: Sequence[Product]) -> tuple[Callable[[jax.Array, Arrays], Arrays], Arrays]:
    """`(num, arrays) -> arrays` that does all of `wanted` `num` times, and the arrays to begin with.

    One element of every left operand changes from round to round, in place, so that no product can be moved
    out of the loop, and every result is part of what is returned.
    """

    def one_round(number: jax.Array, arrays: Arrays) -> Arrays:
        return tuple(_repeated(p, number, *operands) for p, operands in zip(wanted, arrays, strict=True))

    def start(product: Product) -> Operands:
        left, right = jnp.ones(product.left), jnp.ones(product.right)
        out = jax.eval_shape(lambda: jax.lax.dot_general(left, right, product.dimensions))
        return left, right, jnp.zeros(out.shape, out.dtype)

    return lambda num, arrays: jax.lax.fori_loop(0, num, one_round, arrays), tuple(map(start, wanted))


def _repeated(
    product: Product, number: jax.Array, left: jax.Array, right: jax.Array, out: jax.Array
) -> Operands:
    """The product `count` times in round `number`."""

    def once(index: jax.Array, carry: Operands) -> Operands:
        left = carry[0].at[(0,) * carry[0].ndim].set((number + index).astype(carry[0].dtype))
        return left, right, jax.lax.dot_general(left, right, product.dimensions)

    return jax.lax.fori_loop(0, product.count, once, (left, right, out))
