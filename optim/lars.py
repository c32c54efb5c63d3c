"""LARS: a learning rate per layer, in proportion to the norm of its weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim.hyperparameters import hyperparameters
from optim.masks import where
from optim.range import (
    DECAY,
    FLOAT_TYPE,
    MASK,
    NON_NEGATIVE,
    POSITIVE,
    Choice,
    DTypeLike,
    Scalar,
    ScalarOrSchedule,
)

DENOMINATORS = Choice(("paper", "sum"))


class ScaleByLarcState(NamedTuple):
    count: jax.Array  # steps taken, for the schedule of the rate that clips


@hyperparameters(
    trust_coefficient=POSITIVE, weight_decay=NON_NEGATIVE, denominator=DENOMINATORS, learning_rate=POSITIVE
)
def scale_by_lars(
    trust_coefficient: Scalar = 1e-3,
    weight_decay: Scalar = 0.0,
    *,
    denominator: str = "paper",
    learning_rate: ScalarOrSchedule | None = None,
) -> optax.GradientTransformation:
    """u = c |w| / (|g| + wd |w|) * (g + wd w) for every leaf w with gradient g.

    You et al. (2017), equation 6 and algorithm 1. Where |w| or the denominator is 0 the paper says nothing:
    the ratio, c included, is then 1, as in Optax and apex, so that zero weights can leave zero.

    Args:
      trust_coefficient: c, in (0, inf).
      weight_decay: wd, gradient per parameter, in [0, inf).
      denominator: "paper" as above, or "sum" for |g + wd w| (Optax, MLPerf).
      learning_rate: None, or the rate lr that follows, in (0, inf), a number or a schedule, for LARC's
        clipping (apex): the ratio becomes min(ratio / lr, 1), so that the rate of a layer is at most lr.

    >>> tx = scale_by_lars(0.1)
    >>> print(f"{tx.update(2.0, tx.init(4.0), 4.0)[0]:.2f}")
    0.40
    """

    def ratio_of(g, w, decayed):
        w_norm = optax.tree.norm(w)
        apart = optax.tree.norm(g) + weight_decay * w_norm
        u_norm = optax.tree.norm(decayed) if denominator == "sum" else apart
        zero = (w_norm == 0) | (u_norm == 0)
        return jnp.where(zero, 1.0, trust_coefficient * w_norm / jnp.where(zero, 1.0, u_norm))

    def init_fn(params):
        del params
        return optax.EmptyState() if learning_rate is None else ScaleByLarcState(jnp.zeros([], jnp.int32))

    def update_fn(updates, state, params):
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate

        def scale(g, w):
            decayed = g + weight_decay * w
            ratio = ratio_of(g, w, decayed)
            return (ratio if rate is None else jnp.minimum(ratio / rate, 1.0)) * decayed

        if learning_rate is not None:
            state = ScaleByLarcState(optax.safe_increment(state.count))
        return jax.tree.map(scale, updates, params), state

    return optax.GradientTransformation(init_fn, update_fn)


@hyperparameters(
    learning_rate=POSITIVE,
    momentum=DECAY,
    trust_coefficient=POSITIVE,
    weight_decay=NON_NEGATIVE,
    denominator=DENOMINATORS,
    mask=MASK,
    accumulator_dtype=FLOAT_TYPE,
)
def lars(
    learning_rate: ScalarOrSchedule,
    momentum: Scalar = 0.9,
    trust_coefficient: Scalar = 1e-3,
    weight_decay: Scalar = 0.0,
    *,
    denominator: str = "paper",
    clip: bool = False,
    mask: Any = "matrices",
    accumulator_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """Layer-wise adaptive rate scaling, v <- b v + lr u, theta <- theta - v (You et al., 2017, algorithm 1).

    u is `scale_by_lars` where `mask` is true; elsewhere, by default for biases and norms,
    u = g: no decay and no ratio. Those leaves then see the raw rate, about 1 / c times the
    others': where that is too much, raise c and lower lr.

    Args:
      learning_rate: lr, in (0, inf); a number or a schedule.
      momentum: b, in [0, 1).
      trust_coefficient: c, in (0, inf).
      weight_decay: wd, gradient per parameter, in [0, inf).
      denominator: "paper" or "sum", as in `scale_by_lars`.
      clip: True is LARC as in apex: no layer's rate is above lr.
      mask: which leaves are scaled and decay: "matrices", None or "all", a function of the parameters, a
        tree of booleans.
      accumulator_dtype: data type in which v is kept; default that of the parameters, float32 at least.

    >>> tx = lars(0.5, trust_coefficient=0.1, mask="all")
    >>> print(f"{tx.update(2.0, tx.init(4.0), 4.0)[0]:.2f}")
    -0.20
    """
    ratio = scale_by_lars(
        trust_coefficient,
        weight_decay,
        denominator=denominator,
        learning_rate=learning_rate if clip else None,
    )
    return optax.chain(
        where(mask, ratio),
        optax.scale_by_learning_rate(learning_rate),
        optax.trace(momentum, accumulator_dtype=accumulator_dtype),
    )
