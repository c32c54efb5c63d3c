"""A penalty on the largest singular value of every weight matrix."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from optim.hyperparameters import hyperparameters
from optim.range import NON_NEGATIVE
from reg.applied import Applied, Scalar
from reg.masks import Mask, checked, weights


@hyperparameters(strength=NON_NEGATIVE)
def spectral_norm(strength: Scalar, mask: Mask = weights) -> Applied:
    """L + lambda/2 sum_W sigma_1(W)^2, lambda = `strength` >= 0 (Yoshida & Miyato, 2017, equation 6).

    The gradient lambda sigma u v' comes from one step of the power iteration per update, from the vector v of
    the last one (algorithm 1 there). A kernel counts as the matrix of its last axis against all others. The
    recorded loss and line searches do not hold the penalty.

    Args:
      strength: lambda, penalty per squared singular value, in [0, inf).
      mask: which leaves, a function of the parameters; default their weights.
    """

    def init_fn(params):
        chosen = checked("spectral_norm", mask, params)
        return jax.tree.map(lambda keep, w: _start(w) if keep else jnp.zeros(0, w.dtype), chosen, params)

    def update_fn(updates, state, params=None):
        chosen = mask(params)
        after = jax.tree.map(lambda keep, w, v: _power_step(w, v) if keep else v, chosen, params, state)

        def add(keep, g, w, v):
            return g + strength * _half_square_gradient(w, v) if keep else g

        return jax.tree.map(add, chosen, updates, params, after), after

    return Applied(before=optax.GradientTransformation(init_fn, update_fn))


def _start(w: jax.Array) -> jax.Array:
    """Any vector that is not orthogonal to the singular one will do; lanes share this one."""
    return _unit(jax.random.normal(jax.random.key(0), w.shape[-1:], w.dtype))


def _power_step(w: jax.Array, v: jax.Array) -> jax.Array:
    matrix = w.reshape(-1, w.shape[-1])
    return _unit(_unit(matrix @ v) @ matrix)


def _half_square_gradient(w: jax.Array, v: jax.Array) -> jax.Array:
    """sigma u v', the gradient of sigma^2 / 2: for a unit v it is (W v) v'."""
    return jnp.outer(w.reshape(-1, w.shape[-1]) @ v, v).reshape(w.shape)


def _unit(x: jax.Array) -> jax.Array:
    norm = jnp.linalg.norm(x)
    return x / jnp.where(norm > 0, norm, 1.0)
