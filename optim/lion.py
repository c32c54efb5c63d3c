"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

from typing import Any

import optax

from optim.hyperparameters import hyperparameters
from optim.range import DECAY, FLOAT_TYPE, MASK, NON_NEGATIVE, POSITIVE, DTypeLike, Scalar, ScalarOrSchedule


@hyperparameters(
    learning_rate=POSITIVE, b1=DECAY, b2=DECAY, weight_decay=NON_NEGATIVE, mask=MASK, mu_dtype=FLOAT_TYPE
)
def lion(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    weight_decay: Scalar = 0.0,
    *,
    mask: Any = None,
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """Lion, theta <- theta - lr (sign(b1 m + (1 - b1) g) + wd theta), m <- b2 m + (1 - b2) g.

    Chen et al. (2023), program 1. The sign of a complex number is the number of size 1 in its direction.

    Args:
      learning_rate: lr, the size of a step of one entry, in (0, inf); a number or a schedule.
      b1: weight of m in the direction, in [0, 1).
      b2: decay of m, in [0, 1).
      weight_decay: wd, in [0, inf).
      mask: which leaves decay: None or "all", "matrices", a function of the parameters, a tree of booleans.
      mu_dtype: data type in which m is kept; default that of the parameters, float32 at least.

    >>> tx = lion(0.1)
    >>> print(f"{tx.update(-2.0, tx.init(0.0), 0.0)[0]:.1f}")
    0.1
    """
    return optax.chain(
        optax.scale_by_lion(b1, b2, mu_dtype),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )
