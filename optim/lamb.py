"""LAMB: Adam's step, scaled layer by layer to the norm of the weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from optim.hyperparameters import hyperparameters
from optim.masks import where
from optim.range import DECAY, FLOAT_TYPE, MASK, NON_NEGATIVE, POSITIVE, DTypeLike, Scalar, ScalarOrSchedule


@hyperparameters(max_norm=POSITIVE)
def scale_by_weight_norm(max_norm: Scalar | None = None) -> optax.GradientTransformation:
    """u <- phi(|w|) u / |u| for every leaf w, phi(z) = min(z, `max_norm`) or, with None, z.

    You et al. (2020), algorithm 2, line 10. Their experiments use the identity; a bound of
    10 is NVIDIA's and TensorFlow's first version. Where a norm is 0 the ratio is 1.

    Args:
      max_norm: bound of |w|, in the units of the weights, in (0, inf), or None.

    >>> tx = scale_by_weight_norm(2.0)
    >>> print(f"{tx.update(0.1, tx.init(4.0), 4.0)[0]:.1f}")
    2.0
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
    learning_rate=POSITIVE,
    b1=DECAY,
    b2=DECAY,
    eps=POSITIVE,
    weight_decay=NON_NEGATIVE,
    max_norm=POSITIVE,
    mask=MASK,
    mu_dtype=FLOAT_TYPE,
)
def lamb(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-6,
    weight_decay: Scalar = 0.0,
    max_norm: Scalar | None = None,
    *,
    mask: Any = "matrices",
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """LAMB, theta <- theta - lr phi(|theta|) u / |u|, u = adam + wd theta (You et al., 2020, algorithm 2).

    Adam's moments are bias-corrected as in the paper's algorithm. Leaves outside `mask`, by
    default biases and norms, take plain Adam steps without decay, as the authors' code does;
    `mask="all"` treats all leaves alike, as the algorithm is written.

    Args:
      learning_rate: lr, the share of its norm that a layer moves in a step, in (0, inf); a number or a
        schedule.
      b1: decay of the first moment, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: in units of the gradient, in (0, inf).
      weight_decay: wd, in [0, inf).
      max_norm: bound of |theta| in phi, in (0, inf), or None.
      mask: which leaves are scaled and decay: "matrices", None or "all", a function of the parameters, a
        tree of booleans.
      mu_dtype: data type in which the first moment is kept; default that of the parameters, float32 at least.

    >>> tx = lamb(0.1, mask="all")
    >>> print(f"{tx.update(2.0, tx.init(4.0), 4.0)[0]:.2f}")
    -0.40
    """
    return optax.chain(
        optax.scale_by_adam(b1, b2, eps, mu_dtype=mu_dtype),
        where(mask, optax.add_decayed_weights(weight_decay)),
        where(mask, scale_by_weight_norm(max_norm)),
        optax.scale_by_learning_rate(learning_rate),
    )
