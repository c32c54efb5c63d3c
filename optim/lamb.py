"""LAMB: Adam's step, scaled layer by layer to the norm of the weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from optim.masks import matrices
from optim.range import DECAY, NON_NEGATIVE, POSITIVE, Scalar, ScalarOrSchedule, hyperparameters


@hyperparameters(max_norm=POSITIVE)
def scale_by_weight_norm(max_norm: Scalar | None = None) -> optax.GradientTransformation:
    """u <- phi(|w|) u / |u| for every leaf w, phi(z) = min(z, `max_norm`) or, with None, z.

    You et al. (2020), algorithm 2, line 10. Their experiments use the identity; a bound of
    10 is NVIDIA's and TensorFlow's first version. Where a norm is 0 the ratio is 1.
    """

    def scale(u, w):
        norm, u_norm = optax.tree.norm(w), optax.tree.norm(u)
        bounded = norm if max_norm is None else jnp.minimum(norm, max_norm)
        zero = (norm == 0) | (u_norm == 0)
        return jnp.where(zero, 1.0, bounded / jnp.where(zero, 1.0, u_norm)) * u

    def update_fn(updates, state, params):
        return jax.tree.map(scale, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update_fn)


@hyperparameters(
    learning_rate=POSITIVE, b1=DECAY, b2=DECAY, eps=POSITIVE, weight_decay=NON_NEGATIVE, max_norm=POSITIVE
)
def lamb(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-6,
    weight_decay: Scalar = 0.0,
    max_norm: Scalar | None = None,
    *,
    mask=matrices,
) -> optax.GradientTransformation:
    """LAMB, theta <- theta - lr phi(|theta|) u / |u|, u = adam + wd theta (You et al., 2020, algorithm 2).

    Adam's moments are bias-corrected as in the paper's algorithm. Leaves outside `mask`, by
    default biases and norms, take plain Adam steps without decay, as the authors' code does;
    `mask=None` treats all leaves alike, as the algorithm is written.
    """

    def select(transformation):
        return transformation if mask is None else optax.masked(transformation, mask)

    return optax.chain(
        optax.scale_by_adam(b1, b2, eps),
        select(optax.add_decayed_weights(weight_decay)),
        select(scale_by_weight_norm(max_norm)),
        optax.scale_by_learning_rate(learning_rate),
    )
