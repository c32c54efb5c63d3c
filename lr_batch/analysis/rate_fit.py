"""Fit of steps to the goal against the learning rate, at one batch size and over its seeds.

The shapes are those of `lr_batch.analysis.rate_shapes`: log steps = level + basin(log rate - log best rate).

Every seed has a level of its own; seeds share the optimum and the shape. Lanes
that reached the goal have a normal error; the others are censored, a diverged
lane as one that would have needed more than the longest lane of its chunk: so a
diverged or raced-out neighbour bounds the optimum. A flat prior on the optimum
and a prior on shapes that is learned from all batch sizes together (empirical
Bayes) give a posterior on a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.special at its first use
from jaxtyping import Float, Int

from lr_batch.analysis.rate_costs import Costs, costs_of
from lr_batch.analysis.rate_shapes import basins

NUM_CENTERS = 64  # grid points for the optimum, about 4 % in rate for the default study
SEEDS_MAX = 4.0  # seeds' worth of evidence about optimum and shape: more of them share the error of the shape
SD_START, SD_MIN, SD_MAX = 0.1, 0.01, 0.5  # error of a single lane, in log steps
# Of many seeds the first ones say which models are hopeless: those that cost each seed more than the best one does by
# `HOPELESS`, less four standard errors, in the mean. All seeds count for four, so a hopeless one has exp(-4 * 8) of the
# probability of the best. With up to `PILOT_SEEDS` seeds all models are kept.
PILOT_SEEDS, HOPELESS, ERRORS = 16, 8.0, 4.0
NEVER = 1e6  # the cost of a hopeless model: its probability is 0


class RateCells(NamedTuple):
    """Trials of one batch size. Logs are natural; `log_steps` is NaN where the goal
    was not reached, and the trial then took longer than `log_bound`."""

    log_rate: Float[np.ndarray, " rates"]
    log_steps: Float[np.ndarray, "seeds rates"]
    log_bound: Float[np.ndarray, "seeds rates"]


class RateFit(NamedTuple):
    """One batch size. Row 0 of `log_rate` and `log_steps` is the fit to all seeds, row 1 + i the fit
    without seed i.

    Attributes:
      log_rate: best log rate.
      log_steps: log steps there of each seed; NaN where the seed never reached the goal.
      rate_sd: posterior standard deviation of the best log rate of these seeds.
      shape_sd: standard deviation that not knowing optimum and shape adds to the log steps of all seeds.
    """

    log_rate: Float[np.ndarray, " fits"]
    log_steps: Float[np.ndarray, "fits seeds"]
    rate_sd: float
    shape_sd: float


def _centers(cells: RateCells) -> np.ndarray:
    """Candidates for the best log rate: the rates that reached the goal and one cell
    to either side, but never outside the measured grid."""
    reached = np.flatnonzero(np.isfinite(cells.log_steps).any(0))
    low, high = max(reached[0] - 1, 0), min(reached[-1] + 1, len(cells.log_rate) - 1)
    return np.linspace(cells.log_rate[low], cells.log_rate[high], NUM_CENTERS if high > low else 1)


class Grid(NamedTuple):
    """Likelihood of the models that are not hopeless, each seed's level profiled out.

    Attributes:
      likely: which (optimum, shape) they are [centers shapes].
      costs: of these [models seeds].
    """

    likely: np.ndarray
    costs: Costs

    def cost_in(self, weights: Float[np.ndarray, "fits seeds"]) -> np.ndarray:
        """Cost of every model [fits centers shapes] where seeds count by these weights."""
        cost = np.full((len(weights), *self.likely.shape), NEVER)
        cost[:, self.likely] = np.einsum("ms,fs->fm", self.costs.cost, weights)
        return cost


def _grid(cells: RateCells, sd: float) -> Grid:
    """Of all models those that are not hopeless; more and more seeds are asked of fewer and fewer."""
    value, slope = basins(cells.log_rate - _centers(cells)[:, None, None])
    likely, asked = np.ones(value.shape[:-1], bool), 0
    known = Costs(*np.empty((3, likely.sum(), 0)))
    while asked < len(cells.log_steps):
        if asked:
            left = _hopeful(known.cost)
            likely[likely], known = left, Costs(*(column[left] for column in known))
        seeds = slice(asked, PILOT_SEEDS + 3 * asked)
        more = costs_of(value[likely], slope[likely], cells.log_steps[seeds], cells.log_bound[seeds], sd)
        known = Costs(*(np.concatenate(columns, axis=-1) for columns in zip(known, more, strict=True)))
        asked = seeds.stop
    return Grid(likely, known)


def _hopeful(cost: Float[np.ndarray, "models seeds"]) -> np.ndarray:
    """Which models may be near the best one, see `HOPELESS`."""
    above = cost - cost[cost.mean(-1).argmin()]
    return above.mean(-1) - ERRORS * above.std(-1) / np.sqrt(cost.shape[-1]) < HOPELESS


def _weights(cost: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Posterior probabilities [fits centers shapes] from `cost` of the same shape and `prior` [fits shapes]."""
    log_weight = np.log(prior)[:, None, :] - cost
    return np.exp(log_weight - scipy.special.logsumexp(log_weight, axis=(1, 2), keepdims=True))


def _shape_prior(costs: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities [fits shapes] of the shapes under which all batch sizes are likeliest (expectation
    maximisation), with one batch size's worth of mass spread evenly."""
    evidence = np.stack([scipy.special.logsumexp(-cost, axis=1) for cost in costs])
    num_shapes = evidence.shape[-1]
    prior = np.full(evidence.shape[1:], 1.0 / num_shapes)
    for _ in range(20):
        log_weight = np.log(prior) + evidence
        votes = np.exp(log_weight - scipy.special.logsumexp(log_weight, axis=-1, keepdims=True)).sum(0)
        prior = (votes + 1.0 / num_shapes) / (len(costs) + 1.0)
    return prior


def _lane_sd(sd: float, grids: Sequence[Grid], cells: Sequence[RateCells]) -> float:
    """Error of a single lane from the residuals of all batch sizes."""
    costs = [grid.cost_in(np.ones((1, grid.costs.cost.shape[-1]))) for grid in grids]
    prior = _shape_prior(costs)
    chi_sq = sum(
        float((_weights(cost, prior)[0][grid.likely] * grid.costs.chi_sq.sum(-1)).sum())
        for cost, grid in zip(costs, grids, strict=True)
    )
    # Each seed's level and, per batch size, optimum and shape are fitted.
    free = sum(np.isfinite(c.log_steps).sum() - len(c.log_steps) - 2 for c in cells)
    return float(np.clip(sd * np.sqrt(chi_sq / free), SD_MIN, SD_MAX)) if free > 4 else sd


def _summary(cells: RateCells, grid: Grid, weights: np.ndarray) -> RateFit:
    """Posterior means of optimum and levels: a median would jump from one rate of the grid to the next."""
    centers, mass, levels_of = _centers(cells), weights.sum(2), grid.costs.levels
    log_rate = mass @ centers
    rate_sd = np.sqrt(mass[0] @ (centers - log_rate[0]) ** 2)
    weights = weights[:, grid.likely]
    levels = np.einsum("fm,ms->fs", weights, levels_of)
    shape_sd = np.sqrt((weights[0] * (levels_of.mean(-1) - levels[0].mean()) ** 2).sum())
    return RateFit(log_rate, levels, float(rate_sd), float(shape_sd))


def _informative(cells: RateCells) -> tuple[RateCells, np.ndarray]:
    """The seeds that reached the goal at some rate, at the rates near those; and which seeds."""
    reached = np.isfinite(cells.log_steps)
    heard, columns = np.asarray(reached.any(1)), np.flatnonzero(reached.any(0))
    # Two cells to either side bound the optimum; farther lanes only cost time.
    near = slice(max(columns[0] - 2, 0), columns[-1] + 3)
    return RateCells(cells.log_rate[near], cells.log_steps[heard, near], cells.log_bound[heard, near]), heard


def _with_silent_seeds(fit: RateFit, heard: np.ndarray) -> RateFit:
    """Put NaN back for the seeds that never reached the goal."""
    log_steps = np.full((len(fit.log_steps), len(heard)), np.nan)
    log_steps[:, heard] = fit.log_steps
    return fit._replace(log_steps=log_steps)


def seed_weights(
    heard: np.ndarray, seeds: np.ndarray, everyone: Sequence[int], most: float = SEEDS_MAX
) -> np.ndarray:
    """What each seed that was heard counts in each fit [fits heard]: all of them, then all but one. A fit that
    would keep none keeps all. Together they count for `most` seeds at most."""
    own = seeds[heard]
    kept = np.vstack([np.ones(len(own), bool), np.asarray(everyone)[:, None] != own])
    kept |= ~kept.any(1, keepdims=True)
    return kept * np.minimum(1.0, most / kept.sum(1, keepdims=True))


def fit_rates(
    cells: Sequence[RateCells], seeds: Sequence[Int[np.ndarray, " _"]], everyone: Sequence[int]
) -> tuple[RateFit, ...]:
    """Best rate and steps there, for each of several batch sizes, with all seeds and without each one.

    Args:
      cells: trials per batch size; each must have at least one that reached the goal.
      seeds: the seeds of the rows of each of the `cells`.
      everyone: all seeds. Row 1 + i of every fit is without the i-th of them, also where a batch size lacks it.
    """
    if not cells:
        return ()
    cells, heard = zip(*map(_informative, cells), strict=True)
    sd, grids = SD_START, []
    for _ in range(3):  # The error and the fit depend on each other; this settles to a few per cent.
        grids = [_grid(c, sd) for c in cells]
        fitted_sd, sd = sd, _lane_sd(sd, grids, cells)
        if abs(np.log(sd / fitted_sd)) < 0.1:
            break
    costs = [
        grid.cost_in(seed_weights(h, own, everyone)) for grid, h, own in zip(grids, heard, seeds, strict=True)
    ]
    prior = _shape_prior(costs)
    fits = (_summary(c, g, _weights(cost, prior)) for c, g, cost in zip(cells, grids, costs, strict=True))
    return tuple(_with_silent_seeds(fit, h) for fit, h in zip(fits, heard, strict=True))
