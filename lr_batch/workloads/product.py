"""A product of activations and weights whose backward pass is fast on a CPU."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from flax import linen as nn
from jaxtyping import Array, Float


@jax.custom_vjp
def product(x: Float[Array, "... k"], kernel: Float[Array, "k n"]) -> Float[Array, "... n"]:
    """`x @ kernel`; the gradient of the kernel is taken with its outputs first, `(g^T x)^T`.

    With the long axis of examples contracted, XLA's kernels on a CPU do `[n, m] x [m, k]` four times as fast as
    `[k, m] x [m, n]` where n is small: a head with 10 outputs, a convolution with 16. The compiler would turn it
    back were it not for the barrier.

    >>> import jax.numpy as jnp
    >>> x, kernel = jnp.ones((5, 3)), jnp.ones((3, 2))
    >>> jax.grad(lambda kernel: product(x, kernel).sum())(kernel).tolist()
    [[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]]
    """
    return x @ kernel


def _forward(x, kernel):
    return x @ kernel, (x, kernel)


def _backward(residuals, g):
    x, kernel = residuals
    rows = lambda array: array.reshape(-1, array.shape[-1])  # noqa: E731
    outputs_first = jax.lax.optimization_barrier(rows(g).T @ rows(x))
    return g @ kernel.T, outputs_first.T


product.defvjp(_forward, _backward)


def _dot_general(x: Array, kernel: Array, dimension_numbers: Any, precision: Any = None) -> Array:
    """What `nn.Dense` asks for: the last axis of `x` against the first of the kernel."""
    del dimension_numbers, precision
    return product(x, kernel)


Dense = partial(nn.Dense, kernel_init=nn.initializers.he_normal(), dot_general=_dot_general)
"""`nn.Dense` by `product`, with He-normal weights (He et al., 2015)."""
