"""Losses that keep a classifier from being too sure of itself."""

from __future__ import annotations

import jax.numpy as jnp

from optim.hyperparameters import hyperparameters
from optim.range import NON_NEGATIVE, PROBABILITY
from reg.applied import Applied, Scalar
from reg.classes import of_class_losses

TINY = 1e-7  # keeps the slope of focal loss finite where the right class has probability 1


@hyperparameters(rate=PROBABILITY)
def label_smoothing(rate: Scalar) -> Applied:
    """(1 - a) (-log p_y) + a mean_k (-log p_k), a = `rate` in [0, 1).

    Szegedy et al. (2016), section 7.

    Args:
      rate: a, share of probability, in [0, 1).
    """

    def smoothed(right, losses):
        return right + rate * (jnp.mean(losses, axis=0) - right)

    return of_class_losses("label_smoothing", rate, smoothed)


@hyperparameters(strength=NON_NEGATIVE)
def confidence_penalty(strength: Scalar) -> Applied:
    """-log p_y - beta H(p), beta = `strength` >= 0, H the entropy (Pereyra et al., 2017).

    Args:
      strength: beta, loss per nat of entropy, in [0, inf).
    """

    def penalised(right, losses):
        entropy = jnp.sum(jnp.exp(-losses) * losses, axis=0)
        return right - strength * entropy

    return of_class_losses("confidence_penalty", strength, penalised)


@hyperparameters(strength=NON_NEGATIVE)
def focal(strength: Scalar) -> Applied:
    """-(1 - p_y)^gamma log p_y, gamma = `strength` >= 0 (Lin et al., 2017, equation 4).

    Args:
      strength: gamma, exponent, in [0, inf).
    """

    def weighted(right, losses):
        del losses
        wrong = jnp.maximum(-jnp.expm1(-right), TINY)
        return wrong**strength * right

    return of_class_losses("focal", strength, weighted)
