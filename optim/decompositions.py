"""Decompositions of stacks of matrices: one after the other on a CPU, all at once elsewhere.

A batched LAPACK call hands its matrices to the threads of XLA's pool and waits for them, so that programs with such calls
wait for each other, for ever where all threads do. A call for one matrix is done by the thread that makes it. The
matrices of all lanes are then as many calls, each with the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap

HIGHEST = jax.lax.Precision.HIGHEST  # TensorFloat-32 would leave columns orthogonal to three digits only


def eigh(stack: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Rising eigenvalues [n, s] and eigenvectors, as columns, of symmetric [n, s, s]."""
    return _on_platform(lambda a: tuple(jnp.linalg.eigh(a)), lambda a: tuple(jnp.linalg.eigh(a)), stack)


def orthogonal_factor(stack: jax.Array) -> jax.Array:
    """Q of the QR decompositions of [n, s, s], by Householder reflections.

    Nothing simpler takes its place in SOAP. The orthogonal matrix nearest to S Q (Newton-Schulz) is Q itself, where S is
    positive definite: it never turns. Cholesky factors of (S Q)^T S Q fail where S has no full rank, as it often has not.
    """
    return _on_platform(lambda a: jnp.linalg.qr(a)[0], product_of_reflections, stack)


def product_of_reflections(stack: jax.Array) -> jax.Array:
    """Q = (I - tau_1 v_1 v_1^T) ... (I - tau_s v_s v_s^T) of QR as I - V T V^T, in products of matrices.

    T^-1 is the strict upper triangle of V^T V with 1 / tau on the diagonal (Joffrain et al., 2006, eq. 4). On a GPU the
    reflections themselves come from one batched call, but Q from one call of the solver for each matrix: 576 of them
    for 12 lanes of the fully connected network of Fashion-MNIST.
    """
    packed, tau = jnp.linalg.qr(stack, mode="raw")  # as LAPACK's, which is the transpose
    identity = jnp.eye(stack.shape[-1], dtype=stack.dtype)[None]
    none = (tau == 0)[..., None, :]  # a column that is 0 below the diagonal is reflected by nothing
    reflectors = jnp.where(none, 0.0, jnp.tril(packed.mT, -1) + identity)
    gram = jnp.matmul(reflectors.mT, reflectors, precision=HIGHEST)
    inverse = jnp.triu(gram, 1) + jnp.where(none, 1.0, 1 / tau[..., None, :]) * identity
    product = jax.lax.linalg.triangular_solve(inverse, reflectors.mT, left_side=True)
    return identity - jnp.matmul(reflectors, product, precision=HIGHEST)


def _on_platform(
    one: Callable[[jax.Array], Any], together: Callable[[jax.Array], Any], stack: jax.Array
) -> Any:
    """`one` for each matrix of a stack on a CPU, `together` for the stack elsewhere."""
    return jax.lax.platform_dependent(stack, cpu=jax.vmap(sequential_vmap(one)), default=together)
