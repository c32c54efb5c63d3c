"""Gradient descent, plain and with momentum."""

from __future__ import annotations

import optax

from optim.hyperparameters import hyperparameters
from optim.range import DECAY, FLOAT_TYPE, POSITIVE, DTypeLike, Scalar, ScalarOrSchedule


@hyperparameters(learning_rate=POSITIVE, accumulator_dtype=FLOAT_TYPE)
def sgd(
    learning_rate: ScalarOrSchedule, *, accumulator_dtype: DTypeLike = None
) -> optax.GradientTransformation:
    """Stochastic gradient descent, theta <- theta - lr g (Robbins & Monro, 1951, equation 6).

    Optax's `sgd(lr, momentum)` is `optim.momentum` or `optim.nesterov`.

    Args:
      learning_rate: lr, parameters per gradient, in (0, inf); a number or a schedule.
      accumulator_dtype: as in `momentum`; nothing is accumulated here, so that it changes nothing.

    >>> sgd(-1.0)
    Traceback (most recent call last):
    ValueError: sgd: learning_rate must be in (0, inf), got -1.0
    """
    del accumulator_dtype
    return optax.scale_by_learning_rate(learning_rate)


@hyperparameters(learning_rate=POSITIVE, momentum=DECAY, accumulator_dtype=FLOAT_TYPE)
def momentum(
    learning_rate: ScalarOrSchedule, momentum: Scalar = 0.9, *, accumulator_dtype: DTypeLike = None
) -> optax.GradientTransformation:
    """Heavy ball, v <- b v + g, theta <- theta - lr v (Polyak, 1964, equation 9).

    The effective rate is lr / (1 - b). Sutskever et al. (2013) put lr inside v, which is the same for a
    constant rate.

    Args:
      learning_rate: lr, in (0, inf); a number or a schedule.
      momentum: b, in [0, 1).
      accumulator_dtype: data type in which v is kept; default that of the parameters, float32 at least.

    >>> tx = momentum(0.1)
    >>> _, state = tx.update(1.0, tx.init(0.0))
    >>> print(f"{tx.update(1.0, state)[0]:.2f}")
    -0.19
    """
    return optax.chain(
        optax.trace(momentum, accumulator_dtype=accumulator_dtype),
        optax.scale_by_learning_rate(learning_rate),
    )


@hyperparameters(learning_rate=POSITIVE, momentum=DECAY, accumulator_dtype=FLOAT_TYPE)
def nesterov(
    learning_rate: ScalarOrSchedule, momentum: Scalar = 0.9, *, accumulator_dtype: DTypeLike = None
) -> optax.GradientTransformation:
    """Nesterov's accelerated gradient, v <- b v + g, theta <- theta - lr (g + b v).

    Nesterov (1983) in the form of Sutskever et al. (2013), equations 3 and 4, with theta the point at which
    the gradient is taken, as in Shallue et al. (2019).

    Args:
      learning_rate: lr, in (0, inf); a number or a schedule.
      momentum: b, in [0, 1).
      accumulator_dtype: data type in which v is kept; default that of the parameters, float32 at least.

    >>> tx = nesterov(0.1)
    >>> print(f"{tx.update(1.0, tx.init(0.0))[0]:.2f}")
    -0.19
    """
    return optax.chain(
        optax.trace(momentum, nesterov=True, accumulator_dtype=accumulator_dtype),
        optax.scale_by_learning_rate(learning_rate),
    )
