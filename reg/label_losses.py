"""Losses that keep a classifier from being too sure of itself."""

from __future__ import annotations

import jax.numpy as jnp

from reg.applied import Applied, Scalar
from reg.classes import of_class_losses

TINY = 1e-7  # keeps the slope of focal loss finite where the right class has probability 1


def label_smoothing(label_smoothing: Scalar) -> Applied:
    """(1 - a) (-log p_y) + a mean_k (-log p_k), a = `label_smoothing` in [0, 1).

    Szegedy et al. (2016), section 7.
    """

    def smoothed(right, losses):
        return right + label_smoothing * (jnp.mean(losses, axis=0) - right)

    return of_class_losses("label_smoothing", label_smoothing, smoothed)


def confidence_penalty(confidence_penalty: Scalar) -> Applied:
    """-log p_y - beta H(p), beta = `confidence_penalty` >= 0, H the entropy (Pereyra et al., 2017)."""

    def penalised(right, losses):
        entropy = jnp.sum(jnp.exp(-losses) * losses, axis=0)
        return right - confidence_penalty * entropy

    return of_class_losses("confidence_penalty", confidence_penalty, penalised)


def focal(focal: Scalar) -> Applied:
    """-(1 - p_y)^gamma log p_y, gamma = `focal` >= 0 (Lin et al., 2017, equation 4)."""

    def weighted(right, losses):
        del losses
        wrong = jnp.maximum(-jnp.expm1(-right), TINY)
        return wrong**focal * right

    return of_class_losses("focal", focal, weighted)
