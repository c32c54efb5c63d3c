"""Adam's direction with the largest second moment, or with momentum that warms up."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim.hyperparameters import hyperparameters
from optim.moments import squares, zeros_like_squares
from optim.range import DECAY, FLOAT_TYPE, NON_NEGATIVE, POSITIVE, DTypeLike, Scalar


class ScaleByAmsgradState(NamedTuple):
    count: jax.Array  # steps taken
    mu: optax.Updates  # first moment
    nu: optax.Updates  # second moment; real
    nu_max: optax.Updates  # largest second moment so far


class ScaleByWarmedNadamState(NamedTuple):
    count: jax.Array  # steps taken
    mu_product: jax.Array  # mu_1 ... mu_t, the weight that the start still has
    mu: optax.Updates  # first moment
    nu: optax.Updates  # second moment; real


@hyperparameters(b1=DECAY, b2=DECAY, eps=POSITIVE, mu_dtype=FLOAT_TYPE)
def scale_by_amsgrad(
    b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8, *, mu_dtype: DTypeLike = None
) -> optax.GradientTransformation:
    """m / (1 - b1^t) / (sqrt(v_max / (1 - b2^t)) + eps), v_max <- max(v_max, v) (Reddi et al., 2018, algorithm 2).

    With Adam's bias corrections, which the paper leaves out, applied after the maximum as PyTorch does.
    Optax's takes the maximum of the corrected moments, in which the first steps weigh more.

    Args:
      b1: decay of m, in [0, 1).
      b2: decay of v, in [0, 1).
      eps: in units of the gradient, in (0, inf).
      mu_dtype: data type in which m is kept; default that of the parameters, float32 at least.

    >>> tx = scale_by_amsgrad()
    >>> _, state = tx.update(2.0, tx.init(0.0))
    >>> print(f"{tx.update(0.0, state)[0]:.3f}")
    0.670
    """

    def init_fn(params):
        nu = zeros_like_squares(params)
        return ScaleByAmsgradState(
            jnp.zeros([], jnp.int32),
            optax.tree.zeros_like(params, dtype=mu_dtype),
            nu,
            jax.tree.map(jnp.copy, nu),
        )

    def update_fn(updates, state, params=None):
        del params
        count = optax.safe_increment(state.count)
        mu, nu = _moments(updates, state, b1, b2)
        nu_max = jax.tree.map(jnp.maximum, state.nu_max, nu)
        first, second = 1 - b1**count, 1 - b2**count
        scaled = jax.tree.map(lambda m, v: m / first / (jnp.sqrt(v / second) + eps), mu, nu_max)
        return scaled, ScaleByAmsgradState(count, mu, nu, nu_max)

    return optax.GradientTransformation(init_fn, update_fn)


@hyperparameters(b1=DECAY, b2=DECAY, eps=POSITIVE, momentum_decay=NON_NEGATIVE, mu_dtype=FLOAT_TYPE)
def scale_by_warmed_nadam(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    momentum_decay: Scalar = 0.004,
    *,
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """NAdam's direction with mu_t = b1 (1 - 0.96^(psi t) / 2) (Dozat, 2016, section 3; PyTorch's NAdam).

    (mu_{t+1} m / (1 - mu_1 ... mu_{t+1}) + (1 - mu_t) g / (1 - mu_1 ... mu_t)) / (sqrt(v / (1 - b2^t)) + eps),
    where m itself decays by b1.

    Args:
      b1: decay of m, and what mu_t goes to, in [0, 1).
      b2: decay of v, in [0, 1).
      eps: in units of the gradient, in (0, inf).
      momentum_decay: psi, per step, in [0, inf); at 0 mu_t stays b1 / 2.
      mu_dtype: data type in which m is kept; default that of the parameters, float32 at least.

    >>> tx = scale_by_warmed_nadam()
    >>> print(f"{tx.update(2.0, tx.init(0.0))[0]:.3f}")
    1.056
    """

    def warmed(step):
        return b1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))

    def init_fn(params):
        return ScaleByWarmedNadamState(
            jnp.zeros([], jnp.int32),
            jnp.ones([], jnp.result_type(float)),
            optax.tree.zeros_like(params, dtype=mu_dtype),
            zeros_like_squares(params),
        )

    def update_fn(updates, state, params=None):
        del params
        count = optax.safe_increment(state.count)
        mu, nu = _moments(updates, state, b1, b2)
        now, after = warmed(count), warmed(count + 1)
        product = state.mu_product * now
        average, gradient = after / (1 - product * after), (1 - now) / (1 - product)
        second = 1 - b2**count

        def scale(m, v, g):
            return (average * m + gradient * g) / (jnp.sqrt(v / second) + eps)

        return jax.tree.map(scale, mu, nu, updates), ScaleByWarmedNadamState(count, product, mu, nu)

    return optax.GradientTransformation(init_fn, update_fn)


def _moments(updates: optax.Updates, state, b1: Scalar, b2: Scalar) -> tuple[optax.Updates, optax.Updates]:
    mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, updates)
    nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * squares(g), state.nu, updates)
    return mu, nu
