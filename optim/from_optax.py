"""First-order methods that Optax has and has right: ready chains with ranges and sources.

Notation: g gradient, theta parameters, lr `learning_rate`; moving averages start at zero.
Every hyperparameter may be a traced scalar; `learning_rate` may also be a schedule.
"""

from __future__ import annotations

import optax

from optim.range import DECAY, NON_NEGATIVE, POSITIVE, Scalar, ScalarOrSchedule, check_choice, hyperparameters


@hyperparameters(learning_rate=POSITIVE)
def sgd(learning_rate: ScalarOrSchedule) -> optax.GradientTransformation:
    """Stochastic gradient descent, theta <- theta - lr g (Robbins & Monro, 1951).

    >>> sgd(-1.0)
    Traceback (most recent call last):
    ValueError: sgd: learning_rate must be in (0, inf), got -1.0
    """
    return optax.scale_by_learning_rate(learning_rate)


@hyperparameters(learning_rate=POSITIVE, momentum=DECAY)
def momentum(learning_rate: ScalarOrSchedule, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Heavy ball, v <- b v + g, theta <- theta - lr v (Polyak, 1964).

    b is `momentum`. The effective rate is lr / (1 - b). Sutskever et al. (2013) put lr
    inside v, which is the same for a constant rate.
    """
    return optax.chain(optax.trace(momentum), optax.scale_by_learning_rate(learning_rate))


@hyperparameters(learning_rate=POSITIVE, momentum=DECAY)
def nesterov(learning_rate: ScalarOrSchedule, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Nesterov's accelerated gradient, v <- b v + g, theta <- theta - lr (g + b v).

    Nesterov (1983) in the form of Sutskever et al. (2013), with theta the point at which
    the gradient is taken, as in Shallue et al. (2019).
    """
    return optax.chain(optax.trace(momentum, nesterov=True), optax.scale_by_learning_rate(learning_rate))


@hyperparameters(learning_rate=POSITIVE, b1=DECAY, b2=DECAY, eps=POSITIVE)
def adam(
    learning_rate: ScalarOrSchedule, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba, 2015, algorithm 1).

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2,
    theta <- theta - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).
    """
    return optax.chain(optax.scale_by_adam(b1, b2, eps), optax.scale_by_learning_rate(learning_rate))


@hyperparameters(learning_rate=POSITIVE, b1=DECAY, b2=DECAY, eps=POSITIVE, weight_decay=NON_NEGATIVE)
def adamw(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 1e-4,
    *,
    decay: str = "constant",
    mask=None,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, algorithm 2).

    theta <- theta - lr adam - wd theta, wd = `weight_decay`: line 12, its schedule multiplier being 1.
    Their best wd on CIFAR-10 was 1.25e-4 (recalled).

    Args:
      decay: "constant" as above, or "rate" for theta <- theta - lr (adam + wd theta): PyTorch, Optax,
        Keras and timm, where 1e-2 is usual and decay follows the schedule of lr.
      mask: tree of booleans, or function of the parameters: what is decayed. Default all.
    """
    check_choice("adamw", "decay", decay, ("rate", "constant"))
    step = optax.scale_by_adam(b1, b2, eps)
    rate = optax.scale_by_learning_rate(learning_rate)
    if decay == "rate":
        return optax.chain(step, optax.add_decayed_weights(weight_decay, mask), rate)
    return optax.chain(step, rate, optax.add_decayed_weights(-weight_decay, mask))


@hyperparameters(learning_rate=POSITIVE, b1=DECAY, b2=DECAY, eps=POSITIVE)
def nadam(
    learning_rate: ScalarOrSchedule, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Adam with Nesterov momentum (Dozat, 2016), with a constant b1.

    The numerator is b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t). PyTorch's NAdam
    differs: it warms b1 up by b1 (1 - 0.96^(t/250) / 2).
    """
    step = optax.scale_by_adam(b1, b2, eps, nesterov=True)
    return optax.chain(step, optax.scale_by_learning_rate(learning_rate))


@hyperparameters(learning_rate=POSITIVE, b1=DECAY, b2=DECAY, weight_decay=NON_NEGATIVE)
def lion(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    weight_decay: Scalar = 0.0,
    *,
    mask=None,
) -> optax.GradientTransformation:
    """Lion, theta <- theta - lr (sign(b1 m + (1 - b1) g) + wd theta), m <- b2 m + (1 - b2) g.

    Chen et al. (2023), program 1. `mask`: what is decayed, as in `adamw`.
    """
    return optax.chain(
        optax.scale_by_lion(b1, b2),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )
