"""Diagonal AdaGrad."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim.hyperparameters import hyperparameters
from optim.moments import squares
from optim.range import NON_NEGATIVE, POSITIVE, Scalar, ScalarOrSchedule


class ScaleByAdagradState(NamedTuple):
    sum_sq: optax.Updates  # initial + sum of |g|**2 so far; tree and shapes of params, real, float32 at least


@hyperparameters(eps=POSITIVE, initial=NON_NEGATIVE)
def scale_by_adagrad(eps: Scalar = 1e-8, initial: Scalar = 0.0) -> optax.GradientTransformation:
    """Divides by the root of the sum of squares, u_t = g_t / (sqrt(a + sum_{s<=t} |g_s|^2) + eps).

    Duchi et al. (2011), figure 1, with delta = eps outside the root.

    Args:
      eps: in units of the gradient, in (0, inf).
      initial: a, in units of the squared gradient, in [0, inf): 0 in the paper and in PyTorch, 0.1 in
        TensorFlow and Optax.

    >>> tx = scale_by_adagrad()
    >>> _, state = tx.update(3.0, tx.init(0.0))
    >>> print(f"{tx.update(4.0, state)[0]:.1f}")
    0.8
    """

    def init_fn(params):
        return ScaleByAdagradState(jax.tree.map(lambda p: jnp.full_like(p.real, initial), params))

    def update_fn(updates, state, params=None):
        del params  # AdaGrad uses the gradient history only.
        sum_sq = jax.tree.map(lambda s, g: s + squares(g), state.sum_sq, updates)
        scaled = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps), updates, sum_sq)
        return scaled, ScaleByAdagradState(sum_sq)

    return optax.GradientTransformation(init_fn, update_fn)


@hyperparameters(learning_rate=POSITIVE, eps=POSITIVE, initial=NON_NEGATIVE)
def adagrad(
    learning_rate: ScalarOrSchedule, eps: Scalar = 1e-8, initial: Scalar = 0.0
) -> optax.GradientTransformation:
    """AdaGrad, theta <- theta - lr u with u of `scale_by_adagrad` (Duchi et al., 2011, figure 1).

    Args:
      learning_rate: lr, the size of the first step of one entry, in (0, inf); a number or a schedule.
      eps: in units of the gradient, in (0, inf).
      initial: what the sum of squares starts at, in [0, inf).

    >>> tx = adagrad(0.1)
    >>> print(f"{tx.update(3.0, tx.init(0.0))[0]:.2f}")
    -0.10
    """
    return optax.chain(scale_by_adagrad(eps, initial), optax.scale_by_learning_rate(learning_rate))
