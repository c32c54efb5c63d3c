"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim import kronecker
from optim.blocks import layout, merge, split
from optim.range import DECAY, NON_NEGATIVE, POSITIVE, Scalar, ScalarOrSchedule, check_count, hyperparameters


class ScaleBySoapState(NamedTuple):
    count: jax.Array  # steps taken; the same in all lanes, so that the refresh stays a branch
    mu: optax.Updates  # first moment; as params
    nu: optax.Updates  # second moment in the eigenbasis, as blocks
    stats: optax.Params  # per leaf a tuple: one [blocks, d, d] per dimension
    bases: optax.Params  # orthonormal columns, by falling eigenvalue; as stats


def eigenbases(stats: jax.Array) -> jax.Array:
    """Eigenvectors of [n, s, s] as columns, by falling eigenvalue; padding, at -1, comes last."""
    _, vectors = jnp.linalg.eigh(stats)
    return vectors[..., ::-1]


def falling_order(stats: jax.Array, bases: jax.Array) -> jax.Array:
    """Order [n, d] of the columns of the bases by falling q^T S q, the estimated eigenvalues."""
    return jnp.argsort(-jnp.sum(bases * (stats @ bases), axis=-2), axis=-1)


def permute(blocks: jax.Array, orders: tuple[jax.Array, ...]) -> jax.Array:
    """Reorders every dimension i of blocks [n, d_1, ..., d_k] by `orders[i]` [n, d_i]."""
    for axis, order in enumerate(orders):
        shape = [order.shape[0]] + [1] * (blocks.ndim - 1)
        shape[axis + 1] = order.shape[1]
        blocks = jnp.take_along_axis(blocks, order.reshape(shape), axis=axis + 1)
    return blocks


def first_bases(
    nu: optax.Updates, stats: optax.Params, bases: optax.Params
) -> tuple[optax.Updates, optax.Params]:
    """(V, Q) with Q the eigenvectors of the statistics; the old ones where they are not finite."""
    return nu, kronecker.keep_finite(kronecker.on_all(eigenbases, stats, pad=-1.0), bases)


def turned_bases(
    nu: optax.Updates, stats: optax.Params, bases: optax.Params
) -> tuple[optax.Updates, optax.Params]:
    """(V, Q) sorted by eigenvalue, Q after a step of power iteration, QR(S Q) (their algorithm 4)."""
    orders = jax.tree.map(falling_order, stats, bases)
    sorted_bases = jax.tree.map(lambda q, o: jnp.take_along_axis(q, o[:, None], axis=-1), bases, orders)
    products = jax.tree.map(jnp.matmul, stats, sorted_bases)
    turned = kronecker.on_all(lambda p: jnp.linalg.qr(p)[0], products, pad=1.0)
    return jax.tree.map(permute, nu, orders), kronecker.keep_finite(turned, sorted_bases)


@hyperparameters(b1=DECAY, b2=DECAY, b3=DECAY, eps=POSITIVE)
def scale_by_soap(
    b1: Scalar = 0.95,
    b2: Scalar = 0.95,
    b3: Scalar = 0.95,
    eps: Scalar = 1e-8,
    *,
    interval: int = 10,
    block_size: int = 128,
    vectors: bool = False,
    matricize: bool = True,
) -> optax.GradientTransformation:
    """Adam on the gradient rotated into the eigenbases of Shampoo (Vyas et al., 2024, algorithm 3).

    For a matrix: L <- b3 L + (1 - b3) G G^T, R <- b3 R + (1 - b3) G^T G, G' = Q_L^T G Q_R,
    M <- b1 M + (1 - b1) G, V <- b2 V + (1 - b2) G'^2, and the update is
    Q_L (M' / (sqrt(V) + eps)) Q_R^T with M' = Q_L^T M Q_R, M and V bias-corrected. Every
    `interval` steps, after the update, Q <- QR(L Q): one step of power iteration, with columns
    (and V with them) first sorted by eigenvalue. As in the authors' code the first step only
    sets the bases, by eigendecomposition: its update is zero, and Adam counts from the second.

    Args:
      b3: decay of L and R; the authors take b2's value.
      block_size: larger dimensions are cut into blocks with bases of their own. The authors
        do not cut, and leave dimensions above 10,000 unrotated.
      vectors: True rotates tensors of order 0 and 1 as well; False gives them plain Adam, which
        like the others rests in the first step.
      matricize: True treats kernels (H, W, I, O) as matrices (H W I, O), False as order 4.
    """
    check_count("scale_by_soap", "interval", interval)
    check_count("scale_by_soap", "block_size", block_size)

    def blocks_of(leaf):
        dtype = jnp.promote_types(leaf.dtype, jnp.float32)  # LAPACK has no bfloat16
        return split(leaf, layout(leaf.shape, block_size, matricize)).astype(dtype)

    def bases_of(leaf):
        blocks = jax.eval_shape(blocks_of, leaf)
        rotated = vectors or leaf.ndim >= 2
        return kronecker.identities(len(blocks), blocks.shape[1:], blocks.dtype) if rotated else ()

    def init_fn(params):
        bases = jax.tree.map(bases_of, params)
        mu, stats = jax.tree.map(jnp.zeros_like, (params, bases))
        nu = jax.tree.map(lambda p: jnp.zeros_like(blocks_of(p)), params)
        return ScaleBySoapState(jnp.zeros([], jnp.int32), mu, nu, stats, bases)

    def accumulate(grad, stats):
        new = kronecker.second_moments(blocks_of(grad)) if stats else ()
        return tuple(b3 * s + (1 - b3) * m for s, m in zip(stats, new, strict=True))

    def rotate(leaf, bases):
        return kronecker.multiply(blocks_of(leaf), tuple(basis.mT for basis in bases))

    def adam_step(mu, nu, bases, count):
        first, second = 1 - b1**count, 1 - b2**count
        step = rotate(mu, bases) / first / (jnp.sqrt(nu / second) + eps)
        return merge(kronecker.multiply(step, bases), layout(mu.shape, block_size, matricize), mu.shape)

    def update_fn(updates, state, params=None):
        del params
        first = state.count == 0
        adam_count = jnp.maximum(state.count, 1)
        stats = jax.tree.map(accumulate, updates, state.stats)
        mu = jax.tree.map(lambda m, g: jnp.where(first, m, b1 * m + (1 - b1) * g), state.mu, updates)
        squared = jax.tree.map(lambda g, q: rotate(g, q) ** 2, updates, state.bases)
        nu = jax.tree.map(lambda v, g2: jnp.where(first, v, b2 * v + (1 - b2) * g2), state.nu, squared)
        steps = jax.tree.map(lambda m, v, q: adam_step(m, v, q, adam_count), mu, nu, state.bases)
        steps = jax.tree.map(lambda step: jnp.where(first, 0.0, step), steps)
        branch = jnp.where(first, 0, jnp.where(state.count % interval == 0, 1, 2))
        keep = lambda nu, stats, bases: (nu, bases)
        nu, bases = jax.lax.switch(branch, (first_bases, turned_bases, keep), nu, stats, state.bases)
        return steps, ScaleBySoapState(optax.safe_increment(state.count), mu, nu, stats, bases)

    return optax.GradientTransformation(init_fn, update_fn)


@hyperparameters(
    learning_rate=POSITIVE, b1=DECAY, b2=DECAY, b3=DECAY, eps=POSITIVE, weight_decay=NON_NEGATIVE
)
def soap(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.95,
    b2: Scalar = 0.95,
    b3: Scalar = 0.95,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
    *,
    interval: int = 10,
    block_size: int = 128,
    vectors: bool = False,
    mask=None,
) -> optax.GradientTransformation:
    """SOAP, theta <- theta - lr (u + wd theta) with u of `scale_by_soap` (Vyas et al., 2024).

    Their code has wd = 0.01; 0 here, so that a study of rates compares methods without decay.
    `mask`: what is decayed, default all.
    """
    return optax.chain(
        scale_by_soap(b1, b2, b3, eps, interval=interval, block_size=block_size, vectors=vectors),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )
