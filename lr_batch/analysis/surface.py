"""Steps to the goal over several hyperparameters at once: a smooth surface through scattered settings.

Along the log of the learning rate r it is one of the shapes of `lr_batch.analysis.rate_shapes`; along every other axis
x_j of the space, from 0 to 1, a parabola; and the best rate moves with the other axes:

    log T = level + basin(r - c - sum_j b_j (x_j - 1/2)) + sum_j q_j/2 (x_j - m_j)^2.

The rate is the effective one, r = log rate - log(1 - momentum), where there is a momentum: steps depend on it far more
than on each of the two (Shallue et al., 2019). `level` is what the best setting within the space needs. Lanes have the
likelihood of `lr_batch.analysis.rate_fit`: levels of their own for seeds, a normal error, and censored where the goal was
not reached. The posterior of all parameters under a weak prior is a set of models, drawn by sequential Monte Carlo (Del
Moral et al., 2006): from the prior to the posterior over powers of the likelihood, with Metropolis moves in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.special at its first use
from jaxtyping import Float

from lr_batch.analysis.rate_costs import Costs, costs_of
from lr_batch.analysis.rate_fit import SD_MAX, SD_MIN, SD_START, seed_weights
from lr_batch.analysis.rate_shapes import NUM_SHAPES, basin

MODELS = 256  # drawn
# Seeds' worth of evidence about the surface: what no shape explains is common to all seeds. With 2 the intervals of 40
# batch sizes of `tests/lr_batch/searched_study.py` held the steps in 88 %, with 4 in 75 %, with 1 in 85 %.
EVIDENCE = 2.0
MOVES = 4  # Metropolis moves of each model at each power of the likelihood
KEPT = 0.5  # effective share of the models that one power leaves of the one before
SHIFT_SD = 1.0  # of b_j, in log rate over the whole axis
CURVATURE, CURVATURE_SD = 2.0, 1.5  # median of q_j, and the deviation of its log
OUTSIDE = 0.5  # how far beyond an end of its axis the lowest point m_j of a parabola may lie
FAR = 1.0  # how far beyond the rates that reached the goal the best one may lie, in log rate


class Lanes(NamedTuple):
    """Trials of one batch size.

    Attributes:
      log_rate: effective one of each setting; zeros where the rate was not searched.
      others: place of each setting on the other axes.
      log_steps, log_bound: as in `RateCells`.
    """

    log_rate: Float[np.ndarray, " lanes"]
    others: Float[np.ndarray, "lanes axes"]
    log_steps: Float[np.ndarray, "seeds lanes"]
    log_bound: Float[np.ndarray, "seeds lanes"]


class Models(NamedTuple):
    """Surfaces that explain the lanes of a batch size: parameters [models], and those of each other axis."""

    shape: np.ndarray
    centre: np.ndarray
    shift: np.ndarray
    lowest: np.ndarray
    log_curvature: np.ndarray

    def above(self, log_rate: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(log steps over the lowest point of the space, slope by the log rate), both [models lanes]."""
        bend = 0.5 * np.exp(self.log_curvature)[:, None, :]
        at_best = np.clip(self.lowest, 0.0, 1.0)
        rise = bend * ((others - self.lowest[:, None, :]) ** 2 - ((at_best - self.lowest) ** 2)[:, None, :])
        best_rate = self.centre[:, None] + np.einsum("lj,mj->ml", others - 0.5, self.shift)
        if np.ptp(log_rate) == 0.0:  # one rate is not compared with others
            return rise.sum(-1), np.zeros_like(best_rate)
        value, slope = basin(self.shape, log_rate - best_rate)
        return value + rise.sum(-1), slope

    @property
    def best_others(self) -> Float[np.ndarray, "models axes"]:
        """Place of the lowest point within the space on the other axes."""
        return np.clip(self.lowest, 0.0, 1.0)

    @property
    def best_log_rate(self) -> Float[np.ndarray, " models"]:
        """Log of the effective rate there."""
        return self.centre + ((self.best_others - 0.5) * self.shift).sum(1)

    def take(self, rows: np.ndarray) -> Models:
        return Models(*(column[rows] for column in self))


class Posterior(NamedTuple):
    """`costs` of each model and seed, and `weights` [fits models]: from all seeds, and without each one."""

    models: Models
    costs: Costs
    weights: Float[np.ndarray, "fits models"]


def fit_surfaces(
    lanes: Sequence[Lanes], seeds: Sequence[np.ndarray], everyone: Sequence[int]
) -> tuple[Posterior, ...]:
    """Of each batch size; each must have a seed that reached the goal, and no other.

    Args:
      lanes: of each batch size.
      seeds: those of the rows of each of the `lanes`.
      everyone: all seeds. Row 1 + i of the weights is without the i-th of them.
    """
    sd = SD_START
    found = []
    for _ in range(2):  # the error and the surface depend on each other
        found = [_sampled(one, sd, np.random.default_rng(0)) for one in lanes]
        sd = _lane_sd(sd, found, lanes)
    posteriors = []
    for one, own, models in zip(lanes, seeds, found, strict=True):
        costs = costs_of(*models.above(one.log_rate, one.others), one.log_steps, one.log_bound, sd)
        weight = seed_weights(np.ones(len(own), bool), own, everyone, EVIDENCE)
        # The models were drawn by the likelihood of all seeds; another one takes or leaves some of them.
        log_weight = -(weight - weight[0]) @ costs.cost.T
        log_weight -= scipy.special.logsumexp(log_weight, axis=1, keepdims=True)
        posteriors.append(Posterior(models, costs, np.exp(log_weight)))
    return tuple(posteriors)


def _cost(models: Models, lanes: Lanes, sd: float) -> np.ndarray:
    """Minus log likelihood of each model, by all seeds."""
    costs = costs_of(*models.above(lanes.log_rate, lanes.others), lanes.log_steps, lanes.log_bound, sd).cost
    return costs @ seed_weights(np.ones(costs.shape[-1], bool), np.arange(costs.shape[-1]), [], EVIDENCE)[0]


def _sampled(lanes: Lanes, sd: float, rng: np.random.Generator) -> Models:
    """Models of equal weight from the posterior."""
    models = _prior_draws(lanes, rng)
    cost, power = _cost(models, lanes, sd), 0.0
    while power < 1.0:
        step = _next_step(cost, 1.0 - power)
        chance = np.exp(-step * (cost - cost.min()))
        rows = rng.choice(len(cost), len(cost), p=chance / chance.sum())
        models, cost, power = models.take(rows), cost[rows], power + step
        for _ in range(MOVES):
            models, cost = _moved(models, cost, power, lanes, sd, rng)
    return models


def _next_step(cost: np.ndarray, rest: float) -> float:
    """By how much the power of the likelihood may grow so that enough of the models stay."""

    def share(step):
        chance = np.exp(-step * (cost - cost.min()))
        return chance.sum() ** 2 / (chance**2).sum() / len(cost)

    if share(rest) >= KEPT:
        return rest
    low, high = 0.0, rest
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if share(middle) >= KEPT else (low, middle)
    return max(low, 1e-6)


def _rate_range(lanes: Lanes) -> tuple[float, float]:
    """Of the best rate: where the goal was reached and a little beyond, within what was measured."""
    reached = lanes.log_rate[np.isfinite(lanes.log_steps).any(0)]
    low, high = max(reached.min() - FAR, lanes.log_rate.min()), min(reached.max() + FAR, lanes.log_rate.max())
    return float(low), float(high)


def _prior_draws(lanes: Lanes, rng: np.random.Generator) -> Models:
    axes = lanes.others.shape[1]
    return Models(
        rng.integers(NUM_SHAPES, size=MODELS),
        rng.uniform(*_rate_range(lanes), MODELS),
        rng.normal(0.0, SHIFT_SD, (MODELS, axes)),
        rng.uniform(-OUTSIDE, 1.0 + OUTSIDE, (MODELS, axes)),
        rng.normal(np.log(CURVATURE), CURVATURE_SD, (MODELS, axes)),
    )


def _log_prior(models: Models, lanes: Lanes) -> np.ndarray:
    low, high = _rate_range(lanes)
    inside = (models.centre >= low) & (models.centre <= high)
    inside &= ((models.lowest >= -OUTSIDE) & (models.lowest <= 1.0 + OUTSIDE)).all(1)
    bend = (models.log_curvature - np.log(CURVATURE)) / CURVATURE_SD
    density = -0.5 * ((models.shift / SHIFT_SD) ** 2 + bend**2).sum(1)
    return np.where(inside, density, -np.inf)


def _moved(
    models: Models, cost: np.ndarray, power: float, lanes: Lanes, sd: float, rng: np.random.Generator
) -> tuple[Models, np.ndarray]:
    """One Metropolis step: along the difference of two other models (ter Braak, 2006), some to another shape too."""
    number = len(cost)
    one, other = rng.permutation(number), rng.permutation(number)
    scale = 2.38 / np.sqrt(2.0 * (1 + 3 * models.shift.shape[1])) * np.exp(rng.normal(-0.5, 0.7, number))
    step = lambda column: (
        column
        + (scale.reshape(-1, *[1] * (column.ndim - 1))) * (column[one] - column[other])
        + rng.normal(0.0, 1e-3, column.shape)
    )
    shape = np.where(rng.random(number) < 0.3, rng.integers(NUM_SHAPES, size=number), models.shape)
    tried = Models(shape, *(step(column) for column in models[1:]))
    new_cost = _cost(tried, lanes, sd)
    gain = power * (cost - new_cost) + _log_prior(tried, lanes) - _log_prior(models, lanes)
    taken = np.log(rng.random(number)) < gain
    pick = lambda new, old: np.where(taken.reshape(-1, *[1] * (new.ndim - 1)), new, old)
    return Models(*map(pick, tried, models)), np.where(taken, new_cost, cost)


def _lane_sd(sd: float, found: Sequence[Models], lanes: Sequence[Lanes]) -> float:
    """Error of a single lane from the residuals of all batch sizes."""
    chi_sq = free = 0.0
    for models, one in zip(found, lanes, strict=True):
        costs = costs_of(*models.above(one.log_rate, one.others), one.log_steps, one.log_bound, sd)
        chi_sq += float(costs.chi_sq.sum(-1).mean())
        # At most: what is not told by the lanes is not fitted
        fitted = len(one.log_steps) + 2 + 3 * one.others.shape[1]
        free += max(np.isfinite(one.log_steps).sum() - fitted, 0)
    return float(np.clip(sd * np.sqrt(chi_sq / free), SD_MIN, SD_MAX)) if free > 4 else sd
