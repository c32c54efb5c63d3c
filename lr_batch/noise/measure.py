"""The noise scale of a workload at given parameters, from batches drawn for it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from lr_batch.analysis.intervals import LEVEL
from lr_batch.noise.examples import batch_losses, sample
from lr_batch.noise.scale import NoiseScale, check_batches, gradient_noise_scale
from lr_batch.problem.augmentation import refuse_augmentation
from lr_batch.problem.shapes import check_parameters
from lr_batch.problem.workload import Key, PyTree, Workload, num_examples
from optim.arguments import explain_arguments

# Batches of twice the noise scale have more signal than noise; many times larger ones cost more and tell little more.
BIG_OVER_SCALE = 2.0
FIRST_PIECES, GROWTH, MOST_PIECES = 64, 8, 2**14  # small batches in a big one


@explain_arguments
def measure_noise_scale(
    workload: Workload,
    params: PyTree,
    key: Key,
    *,
    batch_small: int | None = None,
    batch_big: int | None = None,
    draws: int = 64,
    curvature: bool = False,
    level: float = LEVEL,
) -> NoiseScale:
    """Noise scale of a workload at `params`, from `draws` big batches cut into small ones.

    Examples are drawn with replacement, so that Sigma is the covariance over the
    training set.

    Args:
      workload: its `loss` and `train_data` are used.
      params: where the gradient is taken.
      key: for the draws and the loss.
      batch_small: examples per small batch, >= 1; with batch statistics whole groups of them. None for 1, or one group.
      batch_big: a multiple of `batch_small`, larger than it. None takes 64 times `batch_small`, and more where that is
        less than twice the noise scale, at most 16,384 times: with a much smaller one the interval has no upper end.
      draws: big batches, >= 4.
      curvature: measure B_noise = tr(H Sigma) / (G' H G) instead; each draw then costs
        Hessian products over the whole training set.
      level: coverage of the interval, in (0, 1).
    """
    refuse_augmentation("measure_noise_scale", workload)
    check_parameters("measure_noise_scale", workload, params)
    batch_small = workload.group if batch_small is None else batch_small
    if batch_small % workload.group:
        raise ValueError(
            f"measure_noise_scale: batch_small must be a multiple of {workload.group}, the examples that {workload.name} "
            f"normalises together, got {batch_small}"
        )
    if batch_big is not None and batch_big % max(batch_small, 1):
        raise ValueError(
            "measure_noise_scale: batch_big must be a multiple of batch_small, "
            f"got {batch_small} and {batch_big}"
        )
    check_batches(batch_small, 2 * batch_small if batch_big is None else batch_big, level)

    squares = jax.jit(_square_norms(workload, params, batch_small, curvature))

    def measured(pieces: int) -> NoiseScale:
        keys = jax.random.split(jax.random.fold_in(key, pieces), draws)
        small, big = squares(keys, jnp.int32(pieces))
        batch_big = pieces * batch_small
        return gradient_noise_scale(np.asarray(small), np.asarray(big), batch_small, batch_big, level=level)

    if batch_big is not None:
        return measured(batch_big // batch_small)
    pieces = FIRST_PIECES
    while True:
        scale = measured(pieces)
        wanted = _wanted(scale, pieces, batch_small)
        if pieces >= min(wanted, MOST_PIECES):
            return scale
        pieces = min(wanted, MOST_PIECES)


def _wanted(scale: NoiseScale, pieces: int, batch_small: int) -> int:
    """Small batches in a big one of twice the noise scale, a power of two; of a scale without upper end many more."""
    if not np.isfinite(scale.high):
        return GROWTH * pieces
    return 2 ** int(np.ceil(np.log2(max(BIG_OVER_SCALE * scale.b_simple / batch_small, 1.0))))


def quadratic_form(workload: Workload, params: PyTree, key: Key, curvature: bool):
    """g -> |g|^2, or g -> g' H g with the Hessian of the mean loss over the training data."""
    if not curvature:
        return lambda g: optax.tree.vdot(g, g)

    losses, data = batch_losses(workload), sample(workload, num_examples(workload.train_data))

    def gradient(at):
        return jax.grad(lambda p: losses(p, data, key).mean())(at)

    return lambda g: optax.tree.vdot(g, jax.jvp(gradient, (params,), (g,))[1])


def _square_norms(workload: Workload, params: PyTree, batch_small: int, curvature: bool):
    """`(keys [draws], pieces) -> ` mean square norm of the small batches, and square norm of the big batch, [draws] each.

    `pieces` is traced, so that every size of the big batch is the same program.
    """
    data = jax.tree.map(jnp.asarray, workload.train_data)
    total, losses = num_examples(data), batch_losses(workload)

    def one_draw(key: Key, pieces: Int[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        draw_key, loss_key = jax.random.split(key)
        form = quadratic_form(workload, params, loss_key, curvature)

        def add(piece, carry):
            rows = jax.random.randint(jax.random.fold_in(draw_key, piece), (batch_small,), 0, total)
            batch = jax.tree.map(lambda leaf: leaf[rows], data)
            noise_key = jax.random.fold_in(loss_key, piece)
            grads = jax.grad(lambda p: losses(p, batch, noise_key).mean())(params)
            return carry[0] + form(grads), jax.tree.map(jnp.add, carry[1], grads)

        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        square, grads = jax.lax.fori_loop(0, pieces, add, zero)
        return square / pieces, jnp.asarray(form(grads)) / pieces**2

    return lambda keys, pieces: jax.lax.map(lambda key: one_draw(key, pieces), keys)
