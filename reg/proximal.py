"""Penalties with a corner at zero, by their proximal step: weights become exactly zero."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from optim.hyperparameters import hyperparameters
from optim.moments import squares
from optim.range import NON_NEGATIVE, POSITIVE, Range
from reg.applied import Applied, Scalar, of_result
from reg.masks import Mask, on_masked, weights


def soft_threshold(x: Float[Array, "..."], threshold: Scalar) -> Float[Array, "..."]:
    """sign(x) max(|x| - threshold, 0): the proximal operator of threshold |x|."""
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - threshold, 0.0)


@hyperparameters(strength=NON_NEGATIVE, learning_rate=POSITIVE)
def l1(strength: Scalar, learning_rate: Scalar, mask: Mask = weights) -> Applied:
    """L + lambda |theta|_1, lambda = `strength` >= 0: theta <- soft(theta + u, lr lambda) (Tibshirani, 1996; ISTA).

    u is the optimizer's update. Proximal gradient descent proper for SGD; for a preconditioned u the
    threshold stays lr lambda in every coordinate.

    Args:
      strength: lambda, penalty per weight, in [0, inf).
      learning_rate: lr of the optimizer, in (0, inf).
      mask: which leaves, a function of the parameters; default their weights.
    """
    return _proximal("l1", strength, mask, lambda w: soft_threshold(w, learning_rate * strength))


@hyperparameters(strength=NON_NEGATIVE, l1_ratio=Range(low=0.0, high=1.0), learning_rate=POSITIVE)
def elastic_net(
    strength: Scalar, learning_rate: Scalar, l1_ratio: Scalar = 0.5, mask: Mask = weights
) -> Applied:
    """L + lambda (rho |theta|_1 + (1 - rho)/2 |theta|^2), lambda = `strength`, rho = `l1_ratio` in [0, 1].

    theta <- soft(theta + u, lr lambda rho) / (1 + lr lambda (1 - rho)) (Zou & Hastie, 2005), in the naming of
    scikit-learn.

    Args:
      strength: lambda, penalty per weight, in [0, inf).
      learning_rate: lr of the optimizer, in (0, inf).
      l1_ratio: rho, in [0, 1].
      mask: which leaves, a function of the parameters; default their weights.
    """
    step = learning_rate * strength

    def shrink(w):
        return soft_threshold(w, step * l1_ratio) / (1 + step * (1 - l1_ratio))

    return _proximal("elastic_net", strength, mask, shrink)


@hyperparameters(strength=NON_NEGATIVE, learning_rate=POSITIVE)
def group_lasso(strength: Scalar, learning_rate: Scalar, mask: Mask = weights) -> Applied:
    """L + lambda sum_g sqrt(n_g) |theta_g|, lambda = `strength` (Yuan & Lin, 2006).

    A group g holds the n_g incoming weights of one unit (one index of a kernel's last axis), so that whole
    units are switched off: theta_g <- max(1 - lr lambda sqrt(n_g) / |theta_g|, 0) theta_g after the
    optimizer's update.

    Args:
      strength: lambda, penalty per unit of norm, in [0, inf).
      learning_rate: lr of the optimizer, in (0, inf).
      mask: which leaves, a function of the parameters; default their weights.
    """

    def shrink(w):
        norm, size = unit_norms(w), w.size // w.shape[-1]
        return jnp.maximum(1 - learning_rate * strength * size**0.5 / jnp.where(norm > 0, norm, 1.0), 0.0) * w

    return _proximal("group_lasso", strength, mask, shrink)


def unit_norms(w: Float[Array, "... units"]) -> Float[Array, "... units"]:
    """Norm of the incoming weights of each unit, kept broadcastable."""
    return jnp.sqrt(jnp.sum(squares(w), axis=tuple(range(w.ndim - 1)), keepdims=True))


def _proximal(owner: str, strength: Scalar, mask: Mask, shrink: Callable[[jax.Array], jax.Array]) -> Applied:
    return Applied(after=of_result(lambda moved: on_masked(owner, mask, shrink, moved), strength > 0))
