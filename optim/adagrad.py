"""Diagonal AdaGrad."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim.range import NON_NEGATIVE, POSITIVE, Scalar, ScalarOrSchedule, hyperparameters


class ScaleByAdagradState(NamedTuple):
    sum_sq: optax.Updates  # initial + sum of g**2 so far; tree, shapes and dtypes of params


@hyperparameters(eps=POSITIVE, initial=NON_NEGATIVE)
def scale_by_adagrad(eps: Scalar = 1e-8, initial: Scalar = 0.0) -> optax.GradientTransformation:
    """Divides by the root of the sum of squares, u_t = g_t / (sqrt(a + sum_{s<=t} g_s^2) + eps).

    Duchi et al. (2011), figure 1, with delta = eps outside the root. a is `initial`: 0 in
    the paper and in PyTorch, 0.1 in TensorFlow and Optax.
    """

    def init_fn(params):
        return ScaleByAdagradState(jax.tree.map(lambda p: jnp.full_like(p, initial), params))

    def update_fn(updates, state, params=None):
        del params  # AdaGrad uses the gradient history only.
        sum_sq = jax.tree.map(lambda s, g: s + g**2, state.sum_sq, updates)
        scaled = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps), updates, sum_sq)
        return scaled, ScaleByAdagradState(sum_sq)

    return optax.GradientTransformation(init_fn, update_fn)


@hyperparameters(learning_rate=POSITIVE, eps=POSITIVE, initial=NON_NEGATIVE)
def adagrad(
    learning_rate: ScalarOrSchedule, eps: Scalar = 1e-8, initial: Scalar = 0.0
) -> optax.GradientTransformation:
    """AdaGrad, theta <- theta - lr u with u of `scale_by_adagrad`."""
    return optax.chain(scale_by_adagrad(eps, initial), optax.scale_by_learning_rate(learning_rate))
