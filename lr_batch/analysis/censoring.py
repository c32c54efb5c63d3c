"""Values of which only a lower bound is known (Tobit, 1958)."""

from __future__ import annotations

import numpy as np
import scipy  # loads scipy.special at its first use
from jaxtyping import Float

LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)
ROUNDS = 50


def hazard(gap: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Inverse Mills ratio phi(gap) / (1 - Phi(gap)): the mean of a standard normal above `gap`."""
    return np.exp(-0.5 * gap**2 - LOG_SQRT_2PI - scipy.special.log_ndtr(-gap))


def censored_mean(
    values: Float[np.ndarray, " n"], bounds: Float[np.ndarray, " n"], sd: float
) -> tuple[float, Float[np.ndarray, " n"]]:
    """Maximum-likelihood mean of normal values of known `sd`, some known only to exceed their bound.

    Args:
      values: observations, NaN where censored; at least one is not.
      bounds: lower bounds of the censored ones.
      sd: standard deviation.

    Returns:
      The mean, and the values with the censored ones replaced by their expectation
      (expectation maximisation for the Tobit model).
    """
    censored = np.isnan(values)
    filled = np.where(censored, np.maximum(bounds, np.nanmean(values)), values)
    for _ in range(ROUNDS if censored.any() else 0):
        mean = filled.mean()
        filled = np.where(censored, mean + sd * hazard((bounds - mean) / sd), values)
    return float(filled.mean()), filled
