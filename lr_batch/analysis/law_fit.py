"""Which laws the best rates of a study allow: fits, scores, and the set that is not rejected."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lr_batch.analysis.laws import LAWS, Law
from lr_batch.analysis.optimum import RateTable

NUM_KNEES, ZOOMS, ZOOM_KNEES = 80, 2, 7
# Of log rate, alike at all batch sizes: where the best rate lies between those of the grid. Measured on constant
# rates (`python -m runs.recipes.law_recovery`), whose batch sizes all lie alike and do not average it out.
COMMON_SD = 0.05
SE_UNKNOWN = 0.15  # of a best log rate from one seed
SE_MIN = 0.03  # log rate; no best rate is known more exactly
POWER_MAX = 1.5  # beyond it no rule for the rate is known
PRIOR_DF = 4.0  # weight of "the errors are as large as they say", in degrees of freedom
REJECTED = 0.01  # share of studies in which a true law is rejected
HOPELESS = 40.0  # of the score above the best: no true law is ever that far, so nothing is drawn
TIE = 2.0  # of the score, one nat: a simpler law this close is preferred


def moderated_sd(rates: RateTable) -> Float[np.ndarray, " sizes"]:
    """Standard errors, each averaged with the pooled one as far as it is itself uncertain (Smyth, 2004).

    A single seed has none: the scatter about a law, which scales all errors, then stands alone.
    """
    known = np.isfinite(rates.standard_error)
    typical = np.sqrt(np.mean(rates.standard_error[known] ** 2)) if known.any() else SE_UNKNOWN
    variance = np.maximum(np.where(known, rates.standard_error, typical), SE_MIN) ** 2
    own = np.where(known, rates.df / (rates.df + PRIOR_DF), 0.0)
    return np.sqrt(own * variance + (1.0 - own) * np.mean(variance))


class Fit(NamedTuple):
    """Parameters for each of several data sets, and the weighted sum of squares that is left."""

    log_level: Float[np.ndarray, " fits"]
    power: Float[np.ndarray, " fits"]
    log_knee: Float[np.ndarray, " fits"]
    chi_sq: Float[np.ndarray, " fits"]

    def log_rate(self, law: Law, log_b: Float[np.ndarray, " n"]) -> Float[np.ndarray, "fits n"]:
        """The law at any batch sizes."""
        return self.log_level[:, None] + self.power[:, None] * law.feature.value(
            log_b, self.log_knee[:, None]
        )

    def exponent(self, law: Law, log_b: Float[np.ndarray, " n"]) -> Float[np.ndarray, "fits n"]:
        """d log rate / d log B at any batch sizes."""
        return self.power[:, None] * law.feature.slope(log_b, self.log_knee[:, None])


class Supported(NamedTuple):
    """What the data say about one law.

    Attributes:
      name: of the law.
      fit: to the data, one row.
      draws: fits to data redrawn around it.
      score: minus twice the log likelihood, plus 2 for every parameter; small is good.
      p_value: share of studies that follow this law and are fitted worse by it, beside the best law, than this one.
    """

    name: str
    fit: Fit
    draws: Fit
    score: float
    p_value: float


def fit_law(law: Law, rates: RateTable, log_rate: Float[np.ndarray, "fits n"], *, zooms: int = ZOOMS) -> Fit:
    """Weighted least squares for rows of `log_rate`: level and power in closed form for every knee of a grid,
    which then closes in on the best one `zooms` times."""
    log_knees = law.log_knees(rates.log_batch, NUM_KNEES)
    fit = _best_knee(law, rates, log_rate, log_knees[None])
    ends, half = (log_knees[0], log_knees[-1]), (log_knees[-1] - log_knees[0]) / NUM_KNEES
    for _ in range(zooms if law.has_knee else 0):
        near = np.clip(fit.log_knee[:, None] + half * np.linspace(-1.0, 1.0, ZOOM_KNEES), *ends)
        fit, half = _best_knee(law, rates, log_rate, near), 2.0 * half / (ZOOM_KNEES - 1)
    return fit


def _best_knee(law: Law, rates: RateTable, log_rate: np.ndarray, log_knees: np.ndarray) -> Fit:
    """The best of `log_knees`, [fits knees] or [1 knees]."""
    weight = moderated_sd(rates) ** -2
    share = weight / weight.sum()
    feature = law.feature.value(rates.log_batch, log_knees[..., None])
    mean = feature @ share
    centered = feature - mean[..., None]
    level = log_rate @ share
    target = log_rate - level[:, None]
    norm = (centered**2) @ weight
    overlap = (
        (centered @ (target * weight)[..., None])[..., 0]
        if len(centered) > 1
        else (target * weight) @ centered[0].T
    )
    if law.power is None:
        power = np.clip(overlap / np.maximum(norm, 1e-12), -POWER_MAX, POWER_MAX)
    else:
        power = np.full_like(overlap, law.power)
    left = ((target**2) @ weight)[:, None] - 2 * power * overlap + power**2 * norm
    best, rows = left.argmin(1), np.arange(len(left))
    pick = lambda table: np.broadcast_to(table, left.shape)[rows, best]
    power = pick(power)
    return Fit(level - power * pick(mean), power, pick(log_knees), _lowest(left, best))


def _lowest(left: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Sum of squares between the knees of the grid: the bottom of the parabola through the best and its neighbours."""
    rows, inner = np.arange(len(left)), np.clip(best, 1, max(left.shape[1] - 2, 0))
    if left.shape[1] < 3:
        return np.maximum(left[rows, best], 0.0)
    before, here, after = (left[rows, inner + i] for i in (-1, 0, 1))
    bend = np.maximum(before - 2.0 * here + after, 1e-12)
    bottom = np.where(inner == best, here - (after - before) ** 2 / (8.0 * bend), left[rows, best])
    return np.maximum(bottom, 0.0)


def _score(law: Law, fit: Fit, num_points: int) -> np.ndarray:
    """Student's t: the errors have a common scale that is about 1 and not known."""
    return (PRIOR_DF + num_points) * np.log(PRIOR_DF + fit.chi_sq) + 2.0 * law.num_parameters


def _scores(rates: RateTable, log_rate: np.ndarray) -> np.ndarray:
    """Scores of all laws, [fits laws], on the grid of knees alone: study and redrawn ones are scored alike."""
    fits = {law: fit_law(law, rates, log_rate, zooms=0) for law in LAWS.values()}
    return np.stack([_score(law, fit, len(rates.log_rate)) for law, fit in fits.items()], 1)


def _redrawn(law: Law, fit: Fit, rates: RateTable, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Studies that follow `fit`, with errors scaled by the scatter about it, [resamples points]."""
    free = PRIOR_DF + len(rates.log_rate) - law.num_parameters
    scale = np.sqrt((PRIOR_DF + fit.chi_sq) / rng.chisquare(free, (resamples, 1)))
    error = scale * moderated_sd(rates) * rng.standard_normal((resamples, len(rates.log_rate)))
    return fit.log_rate(law, rates.log_batch) + error


def fit_laws(rates: RateTable, resamples: int, seed: int) -> tuple[Supported, ...]:
    """Every law, the best score first, with its p-value.

    The statistic of a law is how far its score lies above the best one. Its distribution, where the law is
    true, comes from studies drawn from its own fit (parametric bootstrap), so that it holds for any number
    of batch sizes and any noise, and for laws that contain one another as for those that do not.
    """
    rng, found = np.random.default_rng(seed), []
    scores = _scores(rates, rates.log_rate[None])[0]
    for i, (name, law) in enumerate(LAWS.items()):
        fit = fit_law(law, rates, rates.log_rate[None])
        studies = _redrawn(law, fit, rates, resamples, rng)
        draws, behind = fit_law(law, rates, studies, zooms=1), scores[i] - scores.min()
        draws = draws._replace(log_level=draws.log_level + COMMON_SD * rng.standard_normal(resamples))
        p_value = _share_as_far(i, behind, _scores(rates, studies)) if behind < HOPELESS else 0.0
        found.append(Supported(name, fit, draws, float(scores[i]), p_value))
    return tuple(sorted(found, key=lambda law: law.score))


def _share_as_far(law: int, behind: float, scores: np.ndarray) -> float:
    """Share of studies whose law number `law` is at least `behind` the best one; the study itself is one of them."""
    return float((1 + (scores[:, law] - scores.min(1) >= behind).sum()) / (1 + len(scores)))


def possible(laws: tuple[Supported, ...]) -> tuple[Supported, ...]:
    """Laws that are not rejected, the simplest first; of a law and a special case of it, the latter within a tie."""
    kept = {law.name: law for law in laws if law.p_value > REJECTED}
    needed = [
        law
        for law in kept.values()
        if not any(name in kept and kept[name].score <= law.score + TIE for name in LAWS[law.name].special)
    ]
    return tuple(sorted(needed, key=lambda law: (LAWS[law.name].num_parameters, law.score)))


def winner(laws: tuple[Supported, ...]) -> Supported:
    """The simplest of the laws that are within a tie of the best score."""
    best = min(law.score for law in laws)
    near = [law for law in laws if law.score <= best + TIE]
    return min(near, key=lambda law: (LAWS[law.name].num_parameters, law.score))
