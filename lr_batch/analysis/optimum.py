"""The best setting at every batch size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import scipy  # loads scipy.special at its first use
from jaxtyping import Float

from lr_batch.analysis.rate_fit import RateCells, RateFit, fit_rates
from lr_batch.result import DIVERGED, Result

RATE = "learning_rate"
PRIOR_DF = 4.0  # weight of the spread over seeds at the other batch sizes, in degrees of freedom
SPREAD_MIN = 0.005  # log steps; keeps weights finite where all seeds agree exactly


class Estimate(NamedTuple):
    """A number with its confidence interval."""

    best: float
    low: float
    high: float


class Optimum(NamedTuple):
    """What one batch size needs at its best setting.

    Attributes:
      batch_size: examples per step.
      steps: median over seeds of the steps to the goal at the best rate; None
        where fewer than half of the seeds reached it.
      low, high: confidence interval of `steps`. Where `steps` is None, `low` is
        a lower bound (None if every trial diverged) and `high` is None.
      examples: steps * batch_size, or None.
      learning_rate: best rate with its interval, or None (not reached, or not searched).
      edge: "low" or "high" where the best rate is the first or last measured one.
      others: the best values of the hyperparameters other than the rate.
      n_seeds, n_reached: seeds measured, and those that reached the goal.
      seeds, seed_steps: seeds and steps of each at the best rate (NaN: not reached).
      spread: standard deviation of log steps over seeds, moderated by the other batch sizes.
      shape_sd: error of log steps common to all seeds, from not knowing the best rate exactly.
    """

    batch_size: int
    steps: float | None
    low: float | None
    high: float | None
    examples: float | None
    learning_rate: Estimate | None
    edge: Literal["low", "high"] | None
    others: Mapping[str, float]
    n_seeds: int
    n_reached: int
    seeds: tuple[int, ...]
    seed_steps: tuple[float, ...]
    spread: float
    shape_sd: float

    @property
    def log_se(self) -> float:
        """Standard error of log steps."""
        return float(np.hypot(self.spread / np.sqrt(self.n_reached), self.shape_sd))


class _Plane(NamedTuple):
    """Trials of one batch size, seeds by rates, at one setting of everything else."""

    batch_size: int
    others: Mapping[str, float]
    seeds: np.ndarray
    cells: RateCells

    @property
    def reached(self) -> np.ndarray:
        return np.isfinite(self.cells.log_steps).any(1)


def _plane(result: Result, rows: np.ndarray, others: Mapping[str, float]) -> _Plane:
    """Columns to a matrix. Cells that were never run bound nothing (log bound -inf)."""
    rate = result.hparams[RATE] if RATE in result.hparams else np.ones(result.num_trials)
    seeds, at_seed = np.unique(result.seed[rows], return_inverse=True)
    rates, at_rate = np.unique(rate[rows], return_inverse=True)
    log_steps = np.full((len(seeds), len(rates)), np.nan)
    log_bound = np.full((len(seeds), len(rates)), -np.inf)
    log_steps[at_seed, at_rate] = np.log(result.steps_to_goal[rows])
    diverged = result.status[rows] == DIVERGED
    longest = np.ones(len(seeds))
    np.maximum.at(longest, at_seed, np.where(diverged, 1, result.steps[rows]))
    trained = np.where(diverged, longest[at_seed], result.steps[rows])
    log_bound[at_seed, at_rate] = np.log(np.maximum(trained, 1))
    cells = RateCells(np.log(rates), log_steps, log_bound)
    return _Plane(int(result.batch_size[rows][0]), others, seeds, cells)


def _best_plane(result: Result, rows: np.ndarray) -> _Plane:
    """The setting of the other hyperparameters whose seeds need the fewest steps in the median."""
    names = [name for name in result.hparams if name != RATE]
    table = np.stack([result.hparams[name][rows] for name in names] or [np.zeros(rows.sum())], axis=1)
    settings, which = np.unique(table, axis=0, return_inverse=True)
    index = np.flatnonzero(rows)
    planes = [
        _plane(result, index[which.ravel() == i], dict(zip(names, map(float, setting), strict=False)))
        for i, setting in enumerate(settings)
    ]
    return min(planes, key=lambda plane: float(np.median(_fewest(plane.cells.log_steps))))


def _fewest(log_steps: np.ndarray) -> np.ndarray:
    """Fewest log steps of each seed, inf where none reached the goal."""
    return np.where(np.isnan(log_steps), np.inf, log_steps).min(1)


def _edge(cells: RateCells) -> Literal["low", "high"] | None:
    """Whether the rate with the fewest steps in the median over seeds is the first or the last."""
    if len(cells.log_rate) < 2:
        return None
    steps = np.where(np.isnan(cells.log_steps), np.inf, cells.log_steps)
    median = np.median(steps, axis=0)
    cell = int(np.lexsort((steps.min(0), median))[0])
    return {0: "low", len(median) - 1: "high"}.get(cell)


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
    for _ in range(50 if censored.any() else 0):
        mean = filled.mean()
        gap = (bounds - mean) / sd
        hazard = np.exp(-0.5 * gap**2 - 0.5 * np.log(2 * np.pi) - scipy.special.log_ndtr(-gap))
        filled = np.where(censored, mean + sd * hazard, values)
    return float(filled.mean()), filled


def _spreads(fits: list[RateFit]) -> list[tuple[float, float]]:
    """(standard deviation over seeds, its degrees of freedom) per batch size.

    Four seeds tell little about a spread, so each variance is averaged with the
    pooled one, which counts for PRIOR_DF degrees of freedom (Smyth, 2004, with a
    fixed prior weight).
    """
    squares, dfs = [], []
    for fit in fits:
        reached = fit.log_steps[np.isfinite(fit.log_steps)]
        squares.append(float(((reached - reached.mean()) ** 2).sum()))
        dfs.append(len(reached) - 1)
    pooled = sum(squares) / max(sum(dfs), 1)
    prior_df = min(PRIOR_DF, sum(dfs))
    totals = [max(prior_df + df, 1.0) for df in dfs]
    return [
        (max(np.sqrt((prior_df * pooled + square) / total), SPREAD_MIN), total)
        for square, total in zip(squares, totals, strict=True)
    ]


def _reached_row(plane: _Plane, fit: RateFit, spread: float, df: float, level: float) -> Optimum:
    log_bound = plane.cells.log_bound.max(1)
    center, _ = censored_mean(fit.log_steps, log_bound, spread)
    n_reached = int(plane.reached.sum())
    half = scipy.special.stdtrit(df, 0.5 + level / 2) * np.hypot(spread / np.sqrt(n_reached), fit.shape_sd)
    rate = Estimate(*np.exp([fit.log_rate, fit.log_rate_low, fit.log_rate_high]).tolist())
    searched = len(plane.cells.log_rate) > 1
    return Optimum(
        batch_size=plane.batch_size,
        steps=float(np.exp(center)),
        low=float(np.exp(center - half)),
        high=float(np.exp(center + half)),
        examples=float(np.exp(center)) * plane.batch_size,
        learning_rate=rate if searched else None,
        edge=_edge(plane.cells),
        others=plane.others,
        n_seeds=len(plane.seeds),
        n_reached=n_reached,
        seeds=tuple(plane.seeds.tolist()),
        seed_steps=tuple(np.exp(fit.log_steps).tolist()),
        spread=float(spread),
        shape_sd=fit.shape_sd,
    )


def _censored_row(plane: _Plane) -> Optimum:
    bound = float(np.exp(np.median(plane.cells.log_bound.max(1))))
    return Optimum(
        batch_size=plane.batch_size,
        steps=None,
        low=bound if bound > 1 else None,
        high=None,
        examples=None,
        learning_rate=None,
        edge=None,
        others=plane.others,
        n_seeds=len(plane.seeds),
        n_reached=int(plane.reached.sum()),
        seeds=tuple(plane.seeds.tolist()),
        seed_steps=tuple(np.where(plane.reached, np.exp(_fewest(plane.cells.log_steps)), np.nan).tolist()),
        spread=float("nan"),
        shape_sd=float("nan"),
    )


def best_settings(result: Result, *, level: float = 0.9) -> tuple[Optimum, ...]:
    """Best rate, and steps to the goal there, at every batch size, ascending.

    The rate is not the cell with the fewest steps but the minimum of a smooth fit
    over all seeds (see `lr_batch.analysis.rate_fit`); the other hyperparameters take their
    best measured value. The steps are the median over seeds under a log-normal
    law: the mean of the logs, in which a seed that did not reach the goal counts
    as censored. Intervals are Student's, from the spread over seeds and the
    uncertainty of the optimum.

    Args:
      result: trials; the rate is the hyperparameter "learning_rate".
      level: coverage of the intervals, in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"best_settings: level must be in (0, 1), got {level}")
    planes = [_best_plane(result, result.batch_size == size) for size in np.unique(result.batch_size)]
    kept = [plane for plane in planes if 2 * plane.reached.sum() >= len(plane.seeds)]
    fits = list(fit_rates([plane.cells for plane in kept], level=level))
    rows = {
        plane.batch_size: _reached_row(plane, fit, spread, df, level)
        for plane, fit, (spread, df) in zip(kept, fits, _spreads(fits), strict=True)
    }
    return tuple(rows.get(plane.batch_size) or _censored_row(plane) for plane in planes)
