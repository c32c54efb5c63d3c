"""RMSProp."""

from __future__ import annotations

import optax

from optim.range import DECAY, POSITIVE, Scalar, ScalarOrSchedule, hyperparameters


@hyperparameters(learning_rate=POSITIVE, decay=DECAY, momentum=DECAY, eps=POSITIVE)
def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: Scalar = 0.9,
    momentum: Scalar | None = None,
    eps: Scalar = 1e-8,
    *,
    eps_in_sqrt: bool = True,
    centered: bool = False,
) -> optax.GradientTransformation:
    """Divides by a moving root mean square (Tieleman & Hinton, 2012, lecture 6.5).

    v <- d v + (1 - d) g^2, w <- b w + g / sqrt(v + eps), theta <- theta - lr w, with d
    `decay` and b `momentum` (None: w is not kept). v starts at 0 and is not bias-corrected, so that the first
    steps are up to 1 / sqrt(1 - d) times larger.

    Args:
      eps_in_sqrt: False adds eps outside the root, as PyTorch and Keras do.
      centered: subtract the squared moving mean of g from v (Graves, 2013).
    """
    scale = optax.scale_by_stddev if centered else optax.scale_by_rms
    heavy_ball = optax.identity() if momentum is None else optax.trace(momentum)
    return optax.chain(
        scale(decay, eps, eps_in_sqrt=eps_in_sqrt), heavy_ball, optax.scale_by_learning_rate(learning_rate)
    )
