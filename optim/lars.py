"""LARS: a learning rate per layer, in proportion to the norm of its weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from optim.masks import matrices
from optim.range import DECAY, NON_NEGATIVE, POSITIVE, Scalar, ScalarOrSchedule, check_choice, hyperparameters


@hyperparameters(trust_coefficient=POSITIVE, weight_decay=NON_NEGATIVE)
def scale_by_lars(
    trust_coefficient: Scalar = 1e-3, weight_decay: Scalar = 0.0, *, denominator: str = "paper"
) -> optax.GradientTransformation:
    """u = c |w| / (|g| + wd |w|) * (g + wd w) for every leaf w with gradient g.

    You et al. (2017), equation 6 and algorithm 1; c is `trust_coefficient`, wd
    `weight_decay`. Where |w| or the denominator is 0 the paper says nothing: the ratio,
    c included, is then 1, as in Optax and apex, so that zero weights can leave zero.

    Args:
      denominator: "paper" as above, or "sum" for |g + wd w| (Optax, MLPerf).
    """
    check_choice("scale_by_lars", "denominator", denominator, ("paper", "sum"))

    def scale(g, w):
        decayed = g + weight_decay * w
        w_norm = optax.tree.norm(w)
        apart = optax.tree.norm(g) + weight_decay * w_norm
        u_norm = optax.tree.norm(decayed) if denominator == "sum" else apart
        zero = (w_norm == 0) | (u_norm == 0)
        return jnp.where(zero, 1.0, trust_coefficient * w_norm / jnp.where(zero, 1.0, u_norm)) * decayed

    def update_fn(updates, state, params):
        return jax.tree.map(scale, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update_fn)


@hyperparameters(
    learning_rate=POSITIVE, momentum=DECAY, trust_coefficient=POSITIVE, weight_decay=NON_NEGATIVE
)
def lars(
    learning_rate: ScalarOrSchedule,
    momentum: Scalar = 0.9,
    trust_coefficient: Scalar = 1e-3,
    weight_decay: Scalar = 0.0,
    *,
    denominator: str = "paper",
    mask=matrices,
) -> optax.GradientTransformation:
    """Layer-wise adaptive rate scaling, v <- b v + lr u, theta <- theta - v (You et al., 2017).

    u is `scale_by_lars` where `mask` is true; elsewhere, by default for biases and norms,
    u = g: no decay and no ratio. Those leaves then see the raw rate, about 1 / c times the
    others': where that is too much, raise c (`trust_coefficient`) and lower lr.
    """
    return optax.chain(
        optax.masked(scale_by_lars(trust_coefficient, weight_decay, denominator=denominator), mask),
        optax.scale_by_learning_rate(learning_rate),
        optax.trace(momentum),
    )
