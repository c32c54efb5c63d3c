"""Adam and its kin that decay weights or look ahead: Optax's own where they follow the papers.

Notation: g gradient, theta parameters, lr `learning_rate`; moving averages start at zero.
"""

from __future__ import annotations

from typing import Any

import optax

from optim.adam_variants import scale_by_amsgrad, scale_by_warmed_nadam
from optim.hyperparameters import hyperparameters
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


@hyperparameters(learning_rate=POSITIVE, b1=DECAY, b2=DECAY, eps=POSITIVE, mu_dtype=FLOAT_TYPE)
def adam(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    *,
    amsgrad: bool = False,
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba, 2015, algorithm 1).

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2,
    theta <- theta - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).

    Args:
      learning_rate: lr, about the size of a step of one entry, in (0, inf); a number or a schedule.
      b1: decay of m, in [0, 1).
      b2: decay of v, in [0, 1).
      eps: in units of the gradient, in (0, inf).
      amsgrad: True divides by the largest v so far (`optim.adam_variants.scale_by_amsgrad`).
      mu_dtype: data type in which m is kept; default that of the parameters, float32 at least.

    >>> tx = adam(0.1)
    >>> print(f"{tx.update(2.0, tx.init(0.0))[0]:.3f}")
    -0.100
    """
    return optax.chain(
        _adam_step(b1, b2, eps, amsgrad, mu_dtype), optax.scale_by_learning_rate(learning_rate)
    )


@hyperparameters(
    learning_rate=POSITIVE,
    b1=DECAY,
    b2=DECAY,
    eps=POSITIVE,
    weight_decay=NON_NEGATIVE,
    decay=Choice(("constant", "rate")),
    mask=MASK,
    mu_dtype=FLOAT_TYPE,
)
def adamw(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 1e-4,
    *,
    decay: str = "constant",
    mask: Any = None,
    amsgrad: bool = False,
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, algorithm 2).

    theta <- theta - lr adam - wd theta: line 12, its schedule multiplier being 1.

    Args:
      learning_rate: lr, in (0, inf); a number or a schedule.
      b1: decay of the first moment, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: in units of the gradient, in (0, inf).
      weight_decay: wd, the share of a weight that a step takes away (with `decay="rate"` once
        multiplied by lr), in [0, inf).
      decay: "constant" as above, or "rate" for theta <- theta - lr (adam + wd theta): PyTorch, Optax,
        Keras and timm, where 1e-2 is usual and decay follows the schedule of lr.
      mask: which leaves decay: None or "all", "matrices", a function of the parameters, a tree of booleans.
      amsgrad: True divides by the largest second moment so far.
      mu_dtype: data type in which the first moment is kept; default that of the parameters, float32 at least.

    >>> tx = adamw(0.1, weight_decay=0.01)
    >>> print(f"{tx.update(2.0, tx.init(1.0), 1.0)[0]:.3f}")
    -0.110
    """
    step = _adam_step(b1, b2, eps, amsgrad, mu_dtype)
    rate = optax.scale_by_learning_rate(learning_rate)
    if decay == "rate":
        return optax.chain(step, optax.add_decayed_weights(weight_decay, mask), rate)
    return optax.chain(step, rate, optax.add_decayed_weights(-weight_decay, mask))


@hyperparameters(
    learning_rate=POSITIVE,
    b1=DECAY,
    b2=DECAY,
    eps=POSITIVE,
    momentum_decay=NON_NEGATIVE,
    mu_dtype=FLOAT_TYPE,
)
def nadam(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    momentum_decay: Scalar | None = None,
    *,
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """Adam with Nesterov momentum (Dozat, 2016, algorithm 2).

    The numerator is b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t).

    Args:
      learning_rate: lr, in (0, inf); a number or a schedule.
      b1: decay of the first moment, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: in units of the gradient, in (0, inf).
      momentum_decay: None for the constant b1 above. psi in [0, inf) warms it up as the paper and PyTorch
        do (`optim.adam_variants.scale_by_warmed_nadam`); PyTorch's default is 0.004.
      mu_dtype: data type in which m is kept; default that of the parameters, float32 at least.

    >>> tx = nadam(0.1)
    >>> print(f"{tx.update(2.0, tx.init(0.0))[0]:.3f}")
    -0.147
    """
    if momentum_decay is None:
        step = optax.scale_by_adam(b1, b2, eps, mu_dtype=mu_dtype, nesterov=True)
    else:
        step = scale_by_warmed_nadam(b1, b2, eps, momentum_decay, mu_dtype=mu_dtype)
    return optax.chain(step, optax.scale_by_learning_rate(learning_rate))


def _adam_step(
    b1: Scalar, b2: Scalar, eps: Scalar, amsgrad: bool, mu_dtype: DTypeLike
) -> optax.GradientTransformation:
    if amsgrad:
        return scale_by_amsgrad(b1, b2, eps, mu_dtype=mu_dtype)
    return optax.scale_by_adam(b1, b2, eps, mu_dtype=mu_dtype)
