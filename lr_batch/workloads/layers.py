"""Layers of the usual kind whose backward pass is fast on a CPU."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

MOST_CODES = 4_096


@jax.custom_vjp
def relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """`max(x, 0)`; the gradient, zero at 0 as that of `jax.nn.relu`, is computed from the output.

    The input need not be kept then, and among lanes it lies in another order than the gradient: a step of digits_mlp
    takes an eighth less time.

    >>> jax.grad(lambda x: relu(x).sum())(jnp.array([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    return jnp.maximum(x, 0)


def _relu_forward(x):
    y = jnp.maximum(x, 0)
    return y, y


def _relu_backward(y, g):
    return (jnp.where(y > 0, g, 0),)


relu.defvjp(_relu_forward, _relu_backward)


@jax.custom_vjp
def product(
    x: Float[Array | np.ndarray, "... k"], kernel: Float[Array | np.ndarray, "k n"]
) -> Float[Array, "... n"]:
    """`x @ kernel`; the gradient of the kernel is taken with its outputs first, `(g^T x)^T`.

    With the long axis of examples contracted, XLA's kernels on a CPU do `[n, m] x [m, k]` four times as fast as
    `[k, m] x [m, n]` where n is small: a head with 10 outputs, a convolution with 16. The compiler would turn it
    back were it not for the barrier. Elsewhere the compiler chooses.

    >>> x, kernel = jnp.ones((5, 3)), jnp.ones((3, 2))
    >>> jax.grad(lambda kernel: product(x, kernel).sum())(kernel).tolist()
    [[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]]
    """
    return x @ kernel  # pyright: ignore[reportReturnType]


def _product_forward(x, kernel):
    return x @ kernel, (x, kernel)


def _product_backward(residuals, g):
    x, kernel = residuals
    rows = lambda array: array.reshape(-1, array.shape[-1])
    outputs_first = rows(g).T @ rows(x)
    if jax.default_backend() == "cpu":
        outputs_first = jax.lax.optimization_barrier(outputs_first)
    return g @ kernel.T, outputs_first.T


product.defvjp(_product_forward, _product_backward)


@jax.custom_vjp
def lookup(
    kernel: Float[Array | np.ndarray, "k n"], index: Int[Array | np.ndarray, "..."]
) -> Float[Array, "... n"]:
    """`kernel[index]`; the gradient is a product with one-hot codes, which lanes share, as scatters are slow on a CPU.

    Codes of more than `MOST_CODES` rows would take more memory than the model, so there it is a scatter.

    Indices go from 0 to k - 1; as JAX has it, larger ones read the last row, while their gradient is dropped.

    >>> jax.grad(lambda kernel: lookup(kernel, jnp.array([2, 0, 2])).sum())(jnp.ones((3, 2))).tolist()
    [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]]
    """
    return kernel[index]


def _lookup_forward(kernel, index):
    return kernel[index], (kernel, index)


def _lookup_backward(residuals, g):
    kernel, index = residuals
    if len(kernel) > MOST_CODES:
        return jnp.zeros_like(kernel).at[index].add(g), None
    codes = jax.nn.one_hot(index.ravel(), len(kernel), dtype=g.dtype)
    return codes.T @ g.reshape(-1, g.shape[-1]), None


lookup.defvjp(_lookup_forward, _lookup_backward)


def _dot_general(x: Array, kernel: Array, dimension_numbers: Any, precision: Any = None) -> Array:
    """What `nn.Dense` asks for: the last axis of `x` against the first of the kernel."""
    del dimension_numbers, precision
    return product(x, kernel)


Dense = partial(nn.Dense, kernel_init=nn.initializers.he_normal(), dot_general=_dot_general)
"""`nn.Dense` by `product`, with He-normal weights (He et al., 2015)."""


class Embed(nn.Module):
    """A learned vector of `width` numbers, first from N(0, 0.1^2), for each of the symbols 0 to `size` - 1."""

    size: int
    width: int

    @nn.compact
    def __call__(self, index: Int[Array | np.ndarray, "..."]) -> Float[Array, "... width"]:
        kernel = self.param("kernel", nn.initializers.normal(0.1), (self.size, self.width))
        return lookup(kernel, index)
