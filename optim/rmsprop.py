"""RMSProp."""

from __future__ import annotations

import optax

from optim.hyperparameters import hyperparameters
from optim.range import DECAY, FLOAT_TYPE, NON_NEGATIVE, POSITIVE, DTypeLike, Scalar, ScalarOrSchedule


@hyperparameters(
    learning_rate=POSITIVE,
    decay=DECAY,
    momentum=DECAY,
    eps=POSITIVE,
    initial=NON_NEGATIVE,
    accumulator_dtype=FLOAT_TYPE,
)
def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: Scalar = 0.9,
    momentum: Scalar | None = None,
    eps: Scalar = 1e-8,
    initial: Scalar = 0.0,
    *,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    accumulator_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """Divides by a moving root mean square (Tieleman & Hinton, 2012, lecture 6.5, slide 29).

    v <- d v + (1 - d) g^2, w <- b w + g / sqrt(v + eps), theta <- theta - lr w. v is not bias-corrected, so
    that from v = 0 the first steps are up to 1 / sqrt(1 - d) times larger.

    Args:
      learning_rate: lr, in (0, inf); a number or a schedule.
      decay: d, in [0, 1).
      momentum: b, in [0, 1); None: w is not kept.
      eps: in units of the squared gradient, or of the gradient outside of the root; in (0, inf).
      initial: v before the first step, in [0, inf): 0 in PyTorch and Keras, 1 in the RMSProp of TensorFlow 1
        and of timm.
      eps_in_sqrt: True adds eps inside the root, as Keras, TensorFlow and Optax do; False outside, as PyTorch.
      centered: subtract the squared moving mean of g from v (Graves, 2013, equation 40).
      accumulator_dtype: data type in which w is kept; default that of the parameters, float32 at least.

    >>> tx = rmsprop(0.1)
    >>> print(f"{tx.update(2.0, tx.init(0.0))[0]:.3f}")
    -0.316
    """
    scale = optax.scale_by_stddev if centered else optax.scale_by_rms
    heavy_ball = optax.trace(momentum, accumulator_dtype=accumulator_dtype)
    return optax.chain(
        scale(decay, eps, initial, eps_in_sqrt=eps_in_sqrt),
        optax.identity() if momentum is None else heavy_ball,
        optax.scale_by_learning_rate(learning_rate),
    )
