"""Gradient noise scale: the batch size at which noise and signal of the gradient are equal."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from lr_batch.problem.weights import relative_losses
from lr_batch.problem.workload import Key, PyTree, Workload, num_examples
from optim.arguments import explain_arguments

MIN_DRAWS = 4


class NoiseScale(NamedTuple):
    """`b_simple` = `noise` / `signal` = tr(Sigma) / |G|^2 in examples, with its interval at
    `level`; infinite where the signal is not distinguishable from zero. With a curvature
    H in place of the identity it is B_noise = tr(H Sigma) / (G' H G)."""

    b_simple: float
    low: float
    high: float
    signal: float
    noise: float
    level: float
    draws: int


def _check(small: np.ndarray, big: np.ndarray, batch_small: int, batch_big: int, level: float) -> None:
    if batch_small < 1:
        raise ValueError(f"gradient_noise_scale: batch_small must be >= 1, got {batch_small}")
    if batch_big <= batch_small:
        raise ValueError(
            "gradient_noise_scale: batch_big must be larger than batch_small, because how the norm falls with "
            f"the batch size tells noise from signal; got {batch_small} and {batch_big}"
        )
    if not 0 < level < 1:
        raise ValueError(f"gradient_noise_scale: level must be in (0, 1), got {level}")
    if small.shape != big.shape or small.ndim != 1 or len(small) < MIN_DRAWS:
        raise ValueError(
            f"gradient_noise_scale: needs two equally long rows of at least {MIN_DRAWS} square norms, "
            f"got shapes {small.shape} and {big.shape}"
        )
    if not (np.isfinite(small).all() and np.isfinite(big).all()):
        raise ValueError("gradient_noise_scale: square norms must be finite; the gradient diverged")


def _parts(
    small: np.ndarray | float, big: np.ndarray | float, batch_small: int, batch_big: int
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Unbiased (|G|^2, tr(Sigma)) from mean square norms (McCandlish et al., 2018, appendix A.1)."""
    signal = (batch_big * big - batch_small * small) / (batch_big - batch_small)
    noise = (small - big) / (1.0 / batch_small - 1.0 / batch_big)
    return signal, noise


def _ratio(signal: np.ndarray | float, noise: np.ndarray | float) -> np.ndarray:
    positive = np.greater(signal, 0)
    return np.where(positive, np.maximum(noise, 0.0) / np.where(positive, signal, 1.0), np.inf)


@explain_arguments
def gradient_noise_scale(
    small_sq_norms: Float[np.ndarray, " draws"],
    big_sq_norms: Float[np.ndarray, " draws"],
    batch_small: int,
    batch_big: int,
    *,
    level: float = 0.9,
    resamples: int = 2000,
    seed: int = 0,
) -> NoiseScale:
    """B_simple = tr(Sigma) / |G|^2 from gradient square norms at two batch sizes.

    E|G_B|^2 = |G|^2 + tr(Sigma) / B at any B, so two batch sizes give both terms
    without bias; each is averaged before they are divided.

    Args:
      small_sq_norms: |G_small|^2, one or an average of several per draw.
      big_sq_norms: |G_big|^2 of the same draws (or of independent ones).
      batch_small: examples per small batch, >= 1.
      batch_big: examples per big batch, > batch_small.
      level: coverage of the bootstrap interval over draws, in (0, 1).
      resamples: bootstrap samples.
      seed: of the bootstrap.

    >>> gradient_noise_scale(np.full(4, 11.0), np.full(4, 2.0), 1, 10).b_simple
    10.0
    """
    small, big = np.asarray(small_sq_norms, float), np.asarray(big_sq_norms, float)
    _check(small, big, batch_small, batch_big, level)
    signal, noise = _parts(small.mean(), big.mean(), batch_small, batch_big)
    rows = np.random.default_rng(seed).integers(len(small), size=(resamples, len(small)))
    ratios = np.sort(_ratio(*_parts(small[rows].mean(1), big[rows].mean(1), batch_small, batch_big)))
    # Order statistics, not interpolated: between a number and infinity there is nothing.
    tails = (0.5 - level / 2) * (resamples - 1), (0.5 + level / 2) * (resamples - 1)
    low, high = ratios[int(np.floor(tails[0]))], ratios[int(np.ceil(tails[1]))]
    value = float(_ratio(signal, noise))
    return NoiseScale(value, float(low), float(high), float(signal), float(noise), level, len(small))


def _quadratic_form(workload: Workload, params: PyTree, key: Key, curvature: bool):
    """g -> |g|^2, or g -> g' H g with the Hessian of the mean loss over the training data."""
    if not curvature:
        return lambda g: optax.tree.vdot(g, g)

    losses = relative_losses(workload)

    def gradient(at):
        return jax.grad(lambda p: losses(p, workload.train_data, key).mean())(at)

    return lambda g: optax.tree.vdot(g, jax.jvp(gradient, (params,), (g,))[1])


@explain_arguments
def measure_noise_scale(
    workload: Workload,
    params: PyTree,
    key: Key,
    *,
    batch_small: int = 1,
    batch_big: int = 64,
    draws: int = 64,
    curvature: bool = False,
    level: float = 0.9,
) -> NoiseScale:
    """Noise scale of a workload at `params`, from `draws` big batches cut into small ones.

    Examples are drawn with replacement, so that Sigma is the covariance over the
    training set.

    Args:
      workload: its `loss` and `train_data` are used.
      params: where the gradient is taken.
      key: for the draws and the loss.
      batch_small: examples per small batch, >= 1.
      batch_big: a multiple of `batch_small`, larger than it.
      draws: big batches, >= 4.
      curvature: measure B_noise = tr(H Sigma) / (G' H G) instead; each draw then costs
        Hessian products over the whole training set.
      level: coverage of the interval, in (0, 1).
    """
    _check(np.ones(draws), np.ones(draws), batch_small, batch_big, level)
    if batch_big % batch_small:
        raise ValueError(
            "measure_noise_scale: batch_big must be a multiple of batch_small, "
            f"got {batch_small} and {batch_big}"
        )
    small, big = _measure(workload, params, key, batch_small, batch_big, draws, curvature)
    return gradient_noise_scale(np.asarray(small), np.asarray(big), batch_small, batch_big, level=level)


def _measure(
    workload: Workload,
    params: PyTree,
    key: Key,
    batch_small: int,
    batch_big: int,
    draws: int,
    curvature: bool,
) -> tuple[Float[Array, " draws"], Float[Array, " draws"]]:
    """Mean square norm of the small batches, and square norm of the big batch, of every draw."""
    data = jax.tree.map(jnp.asarray, workload.train_data)
    pieces, total = batch_big // batch_small, num_examples(data)
    draw_key, loss_key = jax.random.split(key)
    losses = relative_losses(workload)
    form = _quadratic_form(workload, params, loss_key, curvature)

    def one_draw(this_key):
        rows = jax.random.randint(this_key, (pieces, batch_small), 0, total)

        def add(carry, piece):
            batch = jax.tree.map(lambda leaf: leaf[rows[piece]], data)
            noise_key = jax.random.fold_in(loss_key, piece)
            grads = jax.grad(lambda p: losses(p, batch, noise_key).mean())(params)
            return (carry[0] + form(grads), jax.tree.map(jnp.add, carry[1], grads)), None

        zero = jax.tree.map(jnp.zeros_like, params)
        (square, grads), _ = jax.lax.scan(add, (jnp.zeros(()), zero), jnp.arange(pieces))
        return square / pieces, form(grads) / pieces**2

    return jax.jit(lambda keys: jax.lax.map(one_draw, keys))(jax.random.split(draw_key, draws))
