"""How the best learning rate moves with the batch size, and which law it follows.

Every law is log rate = c + p f(B; K) with a level c, a power p, and a knee K:

    constant            f = 0
    linear until a knee f = log min(B, K)                       p = 1 (Goyal et al., 2017)
    power until a knee  f = log min(B, K)                       p free
    saturating          f = -log(1 + K / B)                     p = 1 (McCandlish et al., 2018)
    square root         f = log B                               p = 1/2 (Malladi et al., 2022)
    power               f = log B                               p free
    surge               f = -log(sqrt(K / B) / 2 + sqrt(B / K) / 2)   p = 1 (Li et al., 2024)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.special at its first use
from jaxtyping import Float, Num

from lr_batch.analysis.optimum import PRIOR_DF, RATE, Optimum, best_settings
from lr_batch.result import Result

MIN_BATCH_SIZES = 4
MIN_BELOW_KNEE = 3  # batch sizes that a power is fitted to
NUM_KNEES = 120


class Law(NamedTuple):
    """`feature(log_b, log_knee)` is f; `power` None is fitted; `knee` says whether K enters."""

    feature: Callable[[np.ndarray, np.ndarray], np.ndarray]
    power: float | None
    knee: bool


def _knee(log_b, log_knee):
    return np.minimum(log_b, log_knee)


def _saturating(log_b, log_knee):
    return -np.logaddexp(0.0, log_knee - log_b)


def _surge(log_b, log_knee):
    return -np.log(np.cosh(0.5 * (log_b - log_knee)))


def _power(log_b, log_knee):
    return log_b + 0.0 * log_knee


POWER_UNTIL_KNEE = "power until a knee"
LAWS = {
    "constant": Law(_power, 0.0, False),
    "linear until a knee": Law(_knee, 1.0, True),
    POWER_UNTIL_KNEE: Law(_knee, None, True),
    "saturating": Law(_saturating, 1.0, True),
    "square root": Law(_power, 0.5, False),
    "power": Law(_power, None, False),
    "surge": Law(_surge, 1.0, True),
}


class FittedLaw(NamedTuple):
    """One law with its parameters; `held_out` is the mean log likelihood of a batch
    size's best log rate when the law is fitted to the other batch sizes."""

    name: str
    held_out: float
    log_level: float
    power: float
    knee: float | None

    def rate(self, batch_size: Sequence[float] | Num[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Learning rate that the law gives at any batch sizes."""
        log_knee = np.log(self.knee) if self.knee else 0.0
        feature = LAWS[self.name].feature(np.log(np.asarray(batch_size, float)), log_knee)
        return np.exp(self.log_level + self.power * feature)


class LearningRateLaw(NamedTuple):
    """Attributes:
    best: name of the law with the highest held-out likelihood.
    exponent, low, high: power of the batch size below the knee, with its interval:
      p of "power until a knee", whichever law is best.
    knee: K of that fit; the largest batch size where no knee shows.
    ranking: all laws, best first.
    optima: the best rates of the fit.
    level: coverage of the interval.
    reliable, notes: whether to trust it, and why not.
    """

    best: str
    exponent: float
    low: float
    high: float
    knee: float
    ranking: tuple[FittedLaw, ...]
    optima: tuple[Optimum, ...]
    level: float
    reliable: bool
    notes: tuple[str, ...]

    def rate(self, batch_size: Sequence[float] | Num[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Learning rate that the best law gives at any batch sizes."""
        return self.ranking[0].rate(batch_size)


class _Fit(NamedTuple):
    """Parameters per data set [fits], and the weighted sum of squares."""

    level: np.ndarray
    power: np.ndarray
    log_knee: np.ndarray
    chi_sq: np.ndarray


def _fit(law: Law, log_b: np.ndarray, log_rate: np.ndarray, weight: np.ndarray) -> _Fit:
    """Weighted least squares for rows of `log_rate` [fits points]: level and power in closed
    form for every knee of a grid, then the best knee."""
    # A knee below the third batch size would leave no power to fit.
    knees = np.linspace(np.sort(log_b)[MIN_BELOW_KNEE - 1], log_b.max(), NUM_KNEES if law.knee else 1)
    share = weight / weight.sum()
    feature = law.feature(log_b, knees[:, None])
    centered = feature - (feature @ share)[:, None]
    level = log_rate @ share
    target = log_rate - level[:, None]
    overlap = (target * weight) @ centered.T
    norm = (centered**2) @ weight
    power = overlap / np.maximum(norm, 1e-12) if law.power is None else np.full_like(overlap, law.power)
    chi_sq = ((target**2) @ weight)[:, None] - 2 * power * overlap + power**2 * norm
    best = chi_sq.argmin(1)
    power = np.take_along_axis(power, best[:, None], 1)[:, 0]
    return _Fit(level - power * (feature @ share)[best], power, knees[best], chi_sq.min(1))


def _num_parameters(law: Law) -> int:
    return 1 + (law.power is None) + law.knee


def _scale(law: Law, chi_sq: float, num_points: int) -> float:
    """Scatter about the law in units of the intervals, moderated towards 1."""
    free = num_points - _num_parameters(law)
    return float(np.sqrt((max(chi_sq, 0.0) + PRIOR_DF) / (free + PRIOR_DF)))


def _held_out(law: Law, log_b: np.ndarray, log_rate: np.ndarray, sd: np.ndarray) -> float:
    """Mean log likelihood of each point under the fit to the others."""
    total = 0.0
    for i in range(len(log_b)):
        kept = np.arange(len(log_b)) != i
        fit = _fit(law, log_b[kept], log_rate[None, kept], sd[kept] ** -2)
        expected = fit.level[0] + fit.power[0] * law.feature(log_b[i], fit.log_knee[0])
        error = sd[i] * _scale(law, fit.chi_sq[0], int(kept.sum()))
        total -= 0.5 * ((log_rate[i] - expected) / error) ** 2 + np.log(error) + 0.5 * np.log(2 * np.pi)
    return float(total / len(log_b))


def _fitted(name: str, log_b: np.ndarray, log_rate: np.ndarray, sd: np.ndarray) -> FittedLaw:
    law = LAWS[name]
    fit = _fit(law, log_b, log_rate[None], sd**-2)
    return FittedLaw(
        name=name,
        held_out=_held_out(law, log_b, log_rate, sd),
        log_level=float(fit.level[0]),
        power=float(fit.power[0]),
        knee=float(np.exp(fit.log_knee[0])) if law.knee else None,
    )


def _exponent_interval(
    log_b: np.ndarray, log_rate: np.ndarray, sd: np.ndarray, level: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Quantiles of refits to best rates redrawn from their intervals, scaled by the scatter."""
    law, rng = LAWS[POWER_UNTIL_KNEE], np.random.default_rng(seed)
    scale = _scale(law, float(_fit(law, log_b, log_rate[None], sd**-2).chi_sq[0]), len(log_b))
    df = len(log_b) - _num_parameters(law) + PRIOR_DF
    spread = scale / np.sqrt(rng.chisquare(df, (resamples, 1)) / df)
    draws = log_rate + spread * sd * rng.standard_normal((resamples, len(log_b)))
    low, high = np.quantile(_fit(law, log_b, draws, sd**-2).power, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def _usable(optima: Sequence[Optimum]) -> tuple[list[Optimum], tuple[str, ...]]:
    """Optima inside the grid, or all where too few are, with what is wrong with them."""
    found = [o for o in optima if o.learning_rate is not None]
    inside = [o for o in found if o.edge is None]
    if len(inside) == len(found):
        return found, ()
    where = ", ".join(str(o.batch_size) for o in found if o.edge)
    if len(inside) >= MIN_BATCH_SIZES:
        return inside, (f"left out, the best rate being at the edge of the grid: batch size {where}",)
    return found, (f"the best rate is at the edge of the grid at batch size {where}: widen the grid",)


def learning_rate_law(
    result: Result,
    *,
    level: float = 0.9,
    resamples: int = 1000,
    seed: int = 0,
    optima: Sequence[Optimum] | None = None,
) -> LearningRateLaw:
    """Rank the laws of the best rate by held-out likelihood, one batch size left out at a time.

    Laws are fitted to the best log rate of each batch size, weighted by its interval.

    Args:
      result: trials with at least 4 batch sizes that reached the goal at several rates.
      level: coverage of the intervals, in (0, 1).
      resamples: refits for the interval of the exponent.
      seed: of the resampling.
      optima: `best_settings(result, level=level)` where it is known already.
    """
    if RATE not in result.hparams:
        raise ValueError(f"learning_rate_law: no hyperparameter {RATE!r} in {sorted(result.hparams)}")
    optima = tuple(best_settings(result, level=level) if optima is None else optima)
    used, notes = _usable(optima)
    if not used and any(o.steps is not None for o in optima):
        raise ValueError("learning_rate_law: needs several learning rates at each batch size, got 1")
    if len(used) < MIN_BATCH_SIZES:
        raise ValueError(
            f"learning_rate_law: needs at least {MIN_BATCH_SIZES} batch sizes that reached the goal, "
            f"got {len(used)}"
        )
    log_b = np.log([float(o.batch_size) for o in used])
    log_rate, low, high = np.log([o.learning_rate for o in used]).T
    sd = (high - low) / (2.0 * scipy.special.ndtri(0.5 + level / 2))
    ranking = sorted((_fitted(name, log_b, log_rate, sd) for name in LAWS), key=lambda law: -law.held_out)
    power = next(law for law in ranking if law.name == POWER_UNTIL_KNEE)
    low, high = _exponent_interval(log_b, log_rate, sd, level, resamples, seed)
    return LearningRateLaw(
        best=ranking[0].name,
        exponent=power.power,
        low=low,
        high=high,
        knee=power.knee,
        ranking=tuple(ranking),
        optima=optima,
        level=level,
        reliable=not notes,
        notes=notes,
    )
