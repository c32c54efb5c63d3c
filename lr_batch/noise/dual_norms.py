"""Noise scales in the geometry of an update: Euclidean with curvature, sign-like, spectral.

An update that is steepest descent in a norm sees the gradient through the dual norm: l1 for signs, the nuclear norm
for orthogonal matrices. The scale of a norm || . || is

    B = b E||g_b - G||^2 / ||G||^2,    g_b the gradient of b examples, G that of all,

tr(Sigma) / |G|^2 where the norm is Euclidean, since the noise shrinks as 1 / sqrt(b) in any norm. With batch statistics b
is a number of whole groups, see `lr_batch.noise.examples`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from lr_batch.analysis.intervals import LEVEL, Estimate, estimate
from lr_batch.noise.examples import batch_losses, sample
from lr_batch.problem.augmentation import refuse_augmentation
from lr_batch.problem.shapes import check_parameters
from lr_batch.problem.workload import Key, PyTree, Workload, num_examples
from optim.arguments import explain_arguments

Square = Callable[[PyTree], Array]  # the square of a norm, or a quadratic form

DRAWS = 32
EXAMPLES = 32  # of each draw
MOST_ROWS = 16_384  # over which G is taken where the training set is larger
CURVED_ROWS = 4_096  # the same for the Hessian, each product with which costs three gradients


class NormScales(NamedTuple):
    """Noise scales in examples, each with its interval; None where the network has no matrix, or the curvature along
    the gradient is not positive."""

    simple: Estimate
    curved: Estimate | None
    sign: Estimate
    spectral: Estimate | None


def inner(one: PyTree, other: PyTree) -> Float[Array, ""]:
    """Sum of the products of all entries."""
    return jax.tree.reduce(jnp.add, jax.tree.map(jnp.vdot, one, other))


def l1(tree: PyTree) -> Float[Array, ""]:
    """Sum of the sizes of all entries, the dual norm of a bound on every entry."""
    return jax.tree.reduce(jnp.add, jax.tree.map(lambda leaf: jnp.abs(leaf).sum(), tree))


def nuclear(tree: PyTree) -> Float[Array, ""]:
    """Sum of the singular values of all matrices; kernels (..., I, O) are taken as matrices (... I, O)."""
    matrices = [leaf.reshape(-1, leaf.shape[-1]) for leaf in jax.tree.leaves(tree) if leaf.ndim > 1]
    return jnp.sum(jnp.stack([jnp.linalg.norm(matrix, "nuc") for matrix in matrices]))


@explain_arguments
def norm_scales(workload: Workload, params: PyTree, key: Key, level: float = LEVEL) -> NormScales:
    """All scales of `workload` at `params`, from the same draws.

    G and the draws are over the training set, or over 16,384 rows of it, evenly spaced; the Hessian over 4,096.

    Args:
      workload: its `loss` and `train_data` are used.
      params: where the gradients are taken.
      key: for the draws and the loss.
      level: coverage of the intervals, in (0, 1).

    Raises:
      ValueError: in one line: examples that are augmented, parameters of another model, a gradient that is zero or not
        finite.
    """
    refuse_augmentation("norm_scales", workload)
    check_parameters("norm_scales", workload, params)
    data, group = sample(workload, MOST_ROWS), workload.group
    size = max(EXAMPLES // group, 1) * group
    gradient = jax.jit(_gradient(workload, key))
    whole = _whole_gradient(gradient, params, data, group)
    rows = jax.random.randint(key, (DRAWS, size), 0, num_examples(data))
    noise = [
        optax.tree.sub(gradient(params, jax.tree.map(lambda leaf, at=at: leaf[at], data)), whole)
        for at in rows
    ]
    curved = _curvature(workload, params, key)
    matrices = any(jnp.ndim(leaf) > 1 for leaf in jax.tree.leaves(params))

    def scale(square: Square) -> Estimate | None:
        of_signal = float(square(whole))
        if not of_signal > 0:
            return None
        return estimate(size * np.array([float(square(g)) for g in noise]) / of_signal, level)

    simple, sign = scale(lambda g: inner(g, g)), scale(lambda g: l1(g) ** 2)
    if simple is None or sign is None:
        raise ValueError("noise scale: the gradient over the training set is zero, or not finite")
    return NormScales(simple, scale(curved), sign, scale(lambda g: nuclear(g) ** 2) if matrices else None)


def _gradient(workload: Workload, key: Key) -> Callable[[PyTree, PyTree], PyTree]:
    losses = batch_losses(workload)
    return lambda params, batch: jax.grad(lambda p: losses(p, batch, key).mean())(params)


def _whole_gradient(gradient, params: PyTree, data: PyTree, group: int) -> PyTree:
    """Mean gradient over all rows, a block of whole groups at a time."""
    total, rows = num_examples(data), max(1024 // group, 1) * group
    blocks = [slice(start, min(start + rows, total)) for start in range(0, total, rows)]
    parts = [
        optax.tree.scale(
            (block.stop - block.start) / total,
            gradient(params, jax.tree.map(lambda leaf, at=block: leaf[at], data)),
        )
        for block in blocks
    ]
    return jax.tree.map(lambda *leaves: sum(leaves), *parts)


def _curvature(workload: Workload, params: PyTree, key: Key) -> Square:
    """g -> g' H g."""
    data = sample(workload, CURVED_ROWS)
    gradient = _gradient(workload, key)
    product = jax.jit(lambda g: jax.jvp(lambda p: gradient(p, data), (params,), (g,))[1])
    return lambda g: inner(g, product(g))
