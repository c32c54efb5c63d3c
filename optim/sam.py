"""Sharpness-aware minimization."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from optim.hyperparameters import hyperparameters
from optim.masks import refuse_parts
from optim.range import DECAY, FLOAT_TYPE, NON_NEGATIVE, POSITIVE, DTypeLike, Scalar, ScalarOrSchedule


@hyperparameters(rho=NON_NEGATIVE)
def sharpness_aware(rho: Scalar = 0.05) -> optax.GradientTransformationExtraArgs:
    """Replaces the gradient g at w by the gradient of the same batch at w + rho g / |g|.

    Foret et al. (2021), equations 2 and 3, with p = 2 and without their second-order term. It costs one more
    gradient. Where g = 0 there is no direction to go: the gradient is taken at w.

    Args:
      rho: radius, in the units of the weights, in [0, inf); 0 changes nothing.

    Raises:
      ValueError: from `update`, without params or the extra argument `grad_fn`, params -> gradient on the
        batch of g; or inside of `optax.masked` or `optax.partition`, which hide leaves that `grad_fn` needs.

    >>> tx = sharpness_aware(0.5)  # the loss is w^2 / 2
    >>> print(tx.update(3.0, tx.init(3.0), 3.0, grad_fn=lambda w: w)[0])
    3.5
    """

    def update_fn(updates, state, params=None, *, grad_fn=None, **extra):
        del extra
        if grad_fn is None or params is None:
            raise ValueError("sharpness_aware: update needs params and the extra argument grad_fn")
        refuse_parts("sharpness_aware", params)
        norm = optax.tree.norm(updates)
        scale = jnp.where(norm > 0, rho / jnp.where(norm > 0, norm, 1.0), 0.0)
        ascended = jax.tree.map(lambda w, g: jnp.asarray(w + scale * g, w.dtype), params, updates)
        return grad_fn(ascended), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update_fn)


@hyperparameters(learning_rate=POSITIVE, rho=POSITIVE, momentum=DECAY, accumulator_dtype=FLOAT_TYPE)
def sam(
    learning_rate: ScalarOrSchedule,
    rho: Scalar = 0.05,
    momentum: Scalar = 0.9,
    *,
    accumulator_dtype: DTypeLike = None,
) -> optax.GradientTransformationExtraArgs:
    """Momentum SGD on the gradients of `sharpness_aware` (Foret et al., 2021, algorithm 1).

    Args:
      learning_rate: lr, in (0, inf); a number or a schedule.
      rho: radius, in the units of the weights, in (0, inf).
      momentum: b of v <- b v + g, in [0, 1).
      accumulator_dtype: data type in which v is kept; default that of the parameters, float32 at least.

    Raises:
      ValueError: as `sharpness_aware`.

    >>> tx = sam(0.1, rho=0.5)  # the loss is w^2 / 2
    >>> print(f"{tx.update(3.0, tx.init(3.0), 3.0, grad_fn=lambda w: w)[0]:.2f}")
    -0.35
    """
    return optax.chain(
        sharpness_aware(rho),
        optax.trace(momentum, accumulator_dtype=accumulator_dtype),
        optax.scale_by_learning_rate(learning_rate),
    )
