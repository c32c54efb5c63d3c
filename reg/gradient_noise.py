"""Noise added to the gradient, and gradients cut to a length."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from optim.hyperparameters import hyperparameters
from optim.range import NON_NEGATIVE, POSITIVE
from reg.applied import Applied, Scalar

GRADIENT_NOISE = 0x607
DECAY = 0.55  # gamma of Neelakantan et al. (2015), section 3


@hyperparameters(strength=NON_NEGATIVE)
def gradient_noise(strength: Scalar) -> Applied:
    """g + N(0, eta / (1 + t)^0.55), eta = `strength` >= 0, t steps taken.

    Neelakantan et al. (2015), equation 1. Optax's `add_noise` has its own key; here the draws belong to
    (seed, step) and lanes share them.

    Args:
      strength: eta, variance of the first noise, squared gradient, in [0, inf).
    """

    def update_fn(updates, state, params=None, *, key, **extra):
        del params, extra
        scale = jnp.sqrt(strength / (1.0 + state) ** DECAY)
        leaves, structure = jax.tree.flatten(updates)
        keys = jax.random.split(jax.random.fold_in(key, GRADIENT_NOISE), max(1, len(leaves)))
        noisy = [
            g + scale * jax.random.normal(k, g.shape, g.dtype) for g, k in zip(leaves, keys, strict=False)
        ]
        return structure.unflatten(noisy), state + 1

    return Applied(
        before=optax.GradientTransformationExtraArgs(lambda params: jnp.zeros([], jnp.int32), update_fn)
    )


@hyperparameters(bound=POSITIVE)
def clip_norm(bound: Scalar) -> Applied:
    """g min(1, c / |g|), |g| the norm of the whole gradient, c = `bound` > 0 (Pascanu et al., 2013).

    Args:
      bound: c, norm, in the units of the gradient, in (0, inf).
    """
    return Applied(before=optax.clip_by_global_norm(bound))
