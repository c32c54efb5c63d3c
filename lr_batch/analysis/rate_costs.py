"""Likelihood of shapes of steps against the learning rate, each seed's level profiled out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.special at its first use
from jaxtyping import Float

from lr_batch.analysis.censoring import hazard

SHIFT_SD = 0.1  # spread of log best rate from one seed to another
MISFIT = 0.1  # error of a shape, as a fraction of the log steps above its minimum: near lanes decide
LEVEL_STEPS = 2  # Newton steps of the levels: enough, they start from the reached lanes
SEEDS_AT_ONCE = 8  # a sum over trials by seed costs trials times seeds
MODELS_AT_ONCE = 128  # whose arrays stay in a core's cache
COST_MAX = 8.0  # one lane can say no more than four standard deviations
# Log steps that the level of a seed may lie below its fastest lane. Above it by no more than the error of that lane:
# where a shape explains hardly any lane of the seed, the likelihood is flat and Newton's step has no end.
LEVEL_BELOW = 3.0


class Costs(NamedTuple):
    """For every model (an optimum on the grid and a shape) and seed; seeds are independent, so a fit without one leaves
    it out."""

    cost: np.ndarray  # [... seeds], minus log likelihood
    levels: np.ndarray  # [... seeds]
    chi_sq: np.ndarray  # [... seeds], sum of squared standardised errors of reached lanes


def costs_of(
    value: Float[np.ndarray, "*models lanes"],
    slope: Float[np.ndarray, "*models lanes"],
    log_steps: Float[np.ndarray, "seeds lanes"],
    log_bound: Float[np.ndarray, "seeds lanes"],
    sd: float,
) -> Costs:
    """Likelihood of models of log steps, each seed's level profiled out.

    Args:
      value: log steps of each model above its minimum, infinite where it does not get to the goal.
      slope: of it, by the log rate.
      log_steps, log_bound: as in `RateCells`.
      sd: error of a single lane.
    """
    models, num_seeds = value.shape[:-1], len(log_steps)
    value, slope = (column.reshape(-1, value.shape[-1]) for column in (value, slope))
    found = Costs(*np.empty((3, len(value), num_seeds)))
    for some in _slices(len(value), MODELS_AT_ONCE):
        for seeds in _slices(num_seeds, SEEDS_AT_ONCE):
            part = _costs(value[some], slope[some], log_steps[seeds], log_bound[seeds], sd)
            for column, of_part in zip(found, part, strict=True):
                column[some, seeds] = of_part
    return Costs(*(column.reshape(*models, num_seeds) for column in found))


def _slices(size: int, at_once: int) -> list[slice]:
    return [slice(start, start + at_once) for start in range(0, size, at_once)]


def _costs(
    value: np.ndarray, slope: np.ndarray, log_steps: np.ndarray, log_bound: np.ndarray, sd: float
) -> Costs:
    """`costs_of` few seeds, whose trials are summed by one matrix product."""
    inside = np.isfinite(value)  # beyond the edge of a cliff no level explains a lane that reached the goal
    value = np.where(inside, value, 0.0)
    # A seed whose optimum lies lower meets the steep right side earlier; far from the minimum no shape is exact.
    shift = np.minimum(SHIFT_SD * np.maximum(slope, 0.0), 0.5)
    sd_of = np.sqrt(sd**2 + shift**2 + (MISFIT * value) ** 2)
    model = _Model(value, sd_of, inside)
    reached = np.isfinite(log_steps)
    hits = _trials(model, reached, log_steps)
    misses = _trials(model, ~reached & (log_bound > -np.inf), log_bound)  # what was never run says nothing
    levels = _levels(hits, misses, np.nanmin(log_steps, axis=1), sd)
    gap = hits.gap(levels)
    hit = np.where(hits.inside, np.minimum(0.5 * gap**2 + np.log(hits.sd_of / sd), COST_MAX), COST_MAX)
    # Beyond the edge a trial is expected to miss the goal.
    miss = np.where(misses.inside, np.minimum(-scipy.special.log_ndtr(-misses.gap(levels)), COST_MAX), 0.0)
    chi_sq = np.where(hits.inside, np.minimum(gap**2, 2 * COST_MAX), 0.0)
    return Costs(hit @ hits.of_seed + miss @ misses.of_seed, levels, chi_sq @ hits.of_seed)


class _Model(NamedTuple):
    """Of every model and lane: log steps above the minimum, error of a trial, and whether the goal can be reached."""

    value: np.ndarray
    sd_of: np.ndarray
    inside: np.ndarray


class _Trials(NamedTuple):
    """Those that reached the goal, or those that did not: what the models say of each [... trials], its log steps or
    their bound [trials], and whose it is [trials seeds], 1 or 0."""

    value: np.ndarray
    sd_of: np.ndarray
    inside: np.ndarray
    seen: np.ndarray
    of_seed: np.ndarray

    def gap(self, levels: np.ndarray) -> np.ndarray:
        """Standardised distance of `seen` from the models, whose seeds have these levels [... seeds]."""
        return (self.seen - self.value - levels @ self.of_seed.T) / self.sd_of


def _trials(model: _Model, chosen: np.ndarray, seen: np.ndarray) -> _Trials:
    """The trials `chosen` of `seen`, both [seeds lanes]: a sum over them is one matrix product."""
    seed, lane = np.nonzero(chosen)
    of_seed = (seed[:, None] == np.arange(len(chosen))).astype(float)
    return _Trials(*(column[..., lane] for column in model), seen[chosen], of_seed)


def _levels(hits: _Trials, misses: _Trials, fastest: np.ndarray, sd: float) -> np.ndarray:
    """Level of each seed [... seeds]: least squares over the trials that reached the goal, then Newton's steps up the
    likelihood of all.

    Without them, slow trials that the race cut would leave the lucky ones to set the level.
    """
    precision = hits.inside / hits.sd_of**2
    known = precision @ hits.of_seed
    # No trial inside the edge: any level, as its cost is the highest.
    levels = (precision * (hits.seen - hits.value)) @ hits.of_seed / np.maximum(known, 1e-12)
    scale = misses.inside / misses.sd_of
    for _ in range(LEVEL_STEPS):
        gap = misses.gap(levels)
        mills = hazard(gap)
        score = (precision * hits.sd_of * hits.gap(levels)) @ hits.of_seed + (scale * mills) @ misses.of_seed
        information = known + (scale**2 * mills * (mills - gap)) @ misses.of_seed
        step = score / np.maximum(information, 1e-9)
        levels = np.clip(levels + step, fastest - LEVEL_BELOW, fastest + np.sqrt(2 * COST_MAX) * sd)
    return levels
