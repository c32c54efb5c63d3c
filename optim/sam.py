"""Sharpness-aware minimization."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from optim.range import DECAY, POSITIVE, Scalar, ScalarOrSchedule, hyperparameters


@hyperparameters(rho=POSITIVE)
def sharpness_aware(rho: Scalar = 0.05) -> optax.GradientTransformationExtraArgs:
    """Replaces the gradient g at w by the gradient of the same batch at w + rho g / |g|.

    Foret et al. (2021), equations 2 and 3, with p = 2 and without their second-order term.
    `update` needs the extra argument `grad_fn`, params -> gradient on the batch of g, and
    costs one more gradient. Where g = 0 there is no direction to go: the gradient is taken at w.
    """

    def update_fn(updates, state, params=None, *, grad_fn=None, **extra):
        del extra
        if grad_fn is None or params is None:
            raise ValueError("sharpness_aware: update needs params and the extra argument grad_fn")
        norm = optax.tree.norm(updates)
        scale = jnp.where(norm > 0, rho / jnp.where(norm > 0, norm, 1.0), 0.0)
        ascended = jax.tree.map(lambda w, g: jnp.asarray(w + scale * g, w.dtype), params, updates)
        return grad_fn(ascended), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update_fn)


@hyperparameters(learning_rate=POSITIVE, rho=POSITIVE, momentum=DECAY)
def sam(
    learning_rate: ScalarOrSchedule, rho: Scalar = 0.05, momentum: Scalar = 0.9
) -> optax.GradientTransformationExtraArgs:
    """Momentum SGD on the gradients of `sharpness_aware` (Foret et al., 2021, algorithm 1)."""
    return optax.chain(
        sharpness_aware(rho), optax.trace(momentum), optax.scale_by_learning_rate(learning_rate)
    )
