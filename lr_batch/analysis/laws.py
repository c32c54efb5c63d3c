"""The laws that the best learning rate can follow as the batch size B grows.

Every law is log rate = c + p f(B; K) with a level c, a power p, and a knee K:

    constant                   f = 0                      rate = r
    linear                     f = log B, p = 1           rate = r B                      (Goyal et al., 2017)
    square root                f = log B, p = 1/2         rate = r sqrt(B)                (Malladi et al., 2022)
    linear until a knee        f = log min(B, K), p = 1   rate = r min(B, K)
    square root until a knee   the same with p = 1/2      rate = r sqrt(min(B, K))
    saturating                 f = -log(1 + K/B), p = 1   rate = r / (1 + K/B)            (McCandlish et al., 2018)
    surge                      f = -log cosh(log(B/K) / 2), p = 1
                                                          rate = r / (sqrt(K/B)/2 + sqrt(B/K)/2)  (Li et al., 2024)
    power                      f = log B, p free          rate = r B^p
    power until a knee         f = log min(B, K), p free  rate = r min(B, K)^p
    saturating power           f = -log(1 + K/B), p free  rate = r / (1 + K/B)^p
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

MIN_BELOW_KNEE = 3  # batch sizes that a free power is fitted to
BEYOND = np.log(4.0)  # a soft knee shows this far beyond the batch sizes


class Feature(NamedTuple):
    """f, and its derivative by log B, as functions of (log B, log K)."""

    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray, np.ndarray], np.ndarray]


LOG_BATCH = Feature(lambda b, k: b + 0.0 * k, lambda b, k: np.ones_like(b + k))
UNTIL_KNEE = Feature(lambda b, k: np.minimum(b, k), lambda b, k: np.where(b < k, 1.0, 0.0))
SATURATING = Feature(lambda b, k: -np.logaddexp(0.0, k - b), lambda b, k: 1.0 / (1.0 + np.exp(b - k)))
SURGE = Feature(lambda b, k: -np.log(np.cosh(0.5 * (b - k))), lambda b, k: -0.5 * np.tanh(0.5 * (b - k)))


class Law(NamedTuple):
    """One form of f.

    Attributes:
      feature: f.
      power: p, or None where it is fitted.
      has_knee: whether K enters.
      special: laws that this one contains, for a certain power or a knee far away.
      formula: rate, with places for r, K and p.
      words: the law in a sentence, with places for K and p.
    """

    feature: Feature
    power: float | None
    has_knee: bool
    special: tuple[str, ...]
    formula: str
    words: str

    @property
    def num_parameters(self) -> int:
        return 1 + (self.power is None) + self.has_knee

    def log_knees(self, log_b: Float[np.ndarray, " n"], num: int) -> Float[np.ndarray, " knees"]:
        """Knees to look at, for ascending batch sizes; any one where the law has none."""
        if not self.has_knee:
            return log_b[:1]
        beyond = BEYOND if self.feature is SATURATING else 0.0
        # A knee below the third batch size would leave no power to fit.
        low = log_b[0] - beyond if self.power is not None else log_b[min(MIN_BELOW_KNEE, len(log_b)) - 1]
        return np.linspace(low, log_b[-1] + beyond, num)


NO_LAW_IN_IT = ("constant", "square root")  # where both are possible, no law can be told
LAWS = {
    "constant": Law(LOG_BATCH, 0.0, False, (), "{rate}", "constant"),
    "linear": Law(LOG_BATCH, 1.0, False, (), "{rate} B", "linear"),
    "square root": Law(LOG_BATCH, 0.5, False, (), "{rate} sqrt(B)", "square root"),
    "linear until a knee": Law(
        UNTIL_KNEE,
        1.0,
        True,
        ("constant", "linear"),
        "{rate} min(B, {knee})",
        "linear until {knee}, then flat",
    ),
    "square root until a knee": Law(
        UNTIL_KNEE,
        0.5,
        True,
        ("constant", "square root"),
        "{rate} sqrt(min(B, {knee}))",
        "square root until {knee}, then flat",
    ),
    "saturating": Law(
        SATURATING, 1.0, True, ("constant", "linear"), "{rate} / (1 + {knee} / B)", "saturating beyond {knee}"
    ),
    "surge": Law(
        SURGE,
        1.0,
        True,
        ("square root",),
        "{rate} / (sqrt({knee} / B) / 2 + sqrt(B / {knee}) / 2)",
        "surge with its peak at {knee}",
    ),
    "power": Law(
        LOG_BATCH, None, False, ("constant", "square root", "linear"), "{rate} B^{power}", "power {power}"
    ),
    "power until a knee": Law(
        UNTIL_KNEE,
        None,
        True,
        ("constant", "square root", "linear", "power", "linear until a knee", "square root until a knee"),
        "{rate} min(B, {knee})^{power}",
        "power {power} until {knee}, then flat",
    ),
    "saturating power": Law(
        SATURATING,
        None,
        True,
        ("constant", "square root", "linear", "power", "saturating"),
        "{rate} / (1 + {knee} / B)^{power}",
        "saturating beyond {knee} with power {power}",
    ),
}
