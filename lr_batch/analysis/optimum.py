"""The best setting at every batch size: what it is, and how it is read off a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from lr_batch.analysis.censoring import censored_mean
from lr_batch.analysis.intervals import LEVEL, Estimate, Replicates, exp_estimates, standard_errors
from lr_batch.analysis.rate_fit import RateCells, RateFit, fit_rates
from lr_batch.analysis.rate_plane import RatePlane, best_plane, fewest
from lr_batch.result import Result

PRIOR_DF = 4.0  # weight of the spread over seeds at the other batch sizes, in degrees of freedom
SPREAD_MIN = 0.005  # log steps; keeps weights finite where all seeds agree exactly
# What is not known between the rates of a grid with log spacing h. Error of log steps: GRID_STEPS h^2, of the best log
# rate: GRID_RATE h; so that the intervals of `python -m runs.recipes.coverage` cover, whose truth has a grid three times
# as fine.
GRID_STEPS, GRID_RATE = 0.14, 0.12


class LeftOut(NamedTuple):
    """A number from all seeds, and without each seed of the study; `grid_sd` is its error from measuring only at
    the rates of the grid, common to all seeds."""

    best: float = float("nan")
    without: tuple[float, ...] = ()
    grid_sd: float = 0.0

    @property
    def replicates(self) -> Replicates:
        column = np.array(self.without)[:, None]
        return Replicates(np.array([self.best]), column, np.array([[self.best + self.grid_sd]]))


class Optimum(NamedTuple):
    """What one batch size needs at its best setting.

    Attributes:
      batch_size: examples per step.
      steps: median over seeds of the steps to the goal at the best rate; None
        where fewer than half of the seeds reached it.
      low, high: confidence interval of `steps`; NaN where a single seed allows none. Where `steps` is None,
        `low` is a lower bound (None if every trial diverged) and `high` is None.
      examples: of these steps, or None.
      learning_rate: best rate with its interval, or None (not reached, or not searched).
      edge: "low" or "high" where the best rate is the first or last measured one.
      others: the best values of the hyperparameters other than the rate.
      n_seeds, n_reached: seeds measured, and those that reached the goal.
      seeds, seed_steps: seeds and steps of each at the best rate (NaN: not reached).
      spread: standard deviation of log steps over seeds, moderated by the other batch sizes.
      log_steps, log_rate: log of `steps` and of the best rate, from all seeds and without each seed of the study,
        ascending (`study_seeds`); empty where `steps` is None.
      effective_rate, log_effective_rate: the same of rate / (1 - momentum); None and empty where no momentum was
        searched.
      edges: name -> "low" or "high" of every searched range at whose end the best setting lies; of a grid, of every
        further hyperparameter that has several values.
      searched: whether a search proposed the settings; else they are a grid.
      lineage: where a search changes settings while they are trained, all that the member that was fastest with the most
        seeds had; there is no best rate then. See `lr_batch.pieces`.
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
    log_steps: LeftOut
    log_rate: LeftOut
    effective_rate: Estimate | None = None
    log_effective_rate: LeftOut = LeftOut()
    edges: Mapping[str, str] = {}
    searched: bool = False
    lineage: Mapping[str, float] = {}

    def __repr__(self) -> str:
        numbers = self.estimate
        steps = (
            f"{numbers.best:.3g} steps ({numbers.low:.3g} to {numbers.high:.3g})"
            if numbers
            else "not reached"
        )
        rate = f", learning rate {self.learning_rate.best:.3g}" if self.learning_rate else ""
        return (
            f"Optimum(batch size {self.batch_size}: {steps}{rate}, {self.n_reached} of {self.n_seeds} seeds)"
        )

    @property
    def estimate(self) -> Estimate | None:
        """`steps` with its interval; None where fewer than half of the seeds reached the goal."""
        if self.steps is None or self.low is None or self.high is None:
            return None
        return Estimate(self.steps, self.low, self.high)

    @property
    def log_se(self) -> float:
        """Standard error of log steps with the moderated spread, for weights."""
        return float(np.hypot(self.spread / np.sqrt(self.n_reached), self.log_steps.grid_sd))


class RateTable(NamedTuple):
    """Best log rates of the batch sizes that have one: with standard error and degrees of freedom (infinite error
    for a single seed), and without each seed."""

    log_batch: Float[np.ndarray, " sizes"]
    log_rate: Float[np.ndarray, " sizes"]
    standard_error: Float[np.ndarray, " sizes"]
    df: Float[np.ndarray, " sizes"]
    without: Float[np.ndarray, "seeds sizes"]


def rate_table(optima: Sequence[Optimum]) -> RateTable:
    """What laws of the best rate are fitted to; `optima` without a learning rate are left out."""
    rows = [o for o in optima if o.learning_rate is not None]
    errors = [standard_errors(o.log_rate.replicates) for o in rows]
    return RateTable(
        log_batch=np.log([float(o.batch_size) for o in rows]),
        log_rate=np.array([o.log_rate.best for o in rows]),
        standard_error=np.array([float(error[0]) for error, _ in errors]),
        df=np.array([float(df) for _, df in errors]),
        without=np.array([o.log_rate.without for o in rows]).T,
    )


def study_seeds(optima: Sequence[Optimum]) -> tuple[int, ...]:
    """All seeds of a study, ascending."""
    return tuple(sorted({seed for o in optima for seed in o.seeds}))


def moderated_spreads(fits: Sequence[RateFit]) -> list[float]:
    """Standard deviation over seeds per batch size.

    Four seeds tell little about a spread, so each variance is averaged with the
    pooled one, which counts for PRIOR_DF degrees of freedom (Smyth, 2004, with a
    fixed prior weight).
    """
    reached = [fit.log_steps[0][np.isfinite(fit.log_steps[0])] for fit in fits]
    squares = [float(((row - row.mean()) ** 2).sum()) for row in reached]
    dfs = [len(row) - 1 for row in reached]
    pooled = sum(squares) / max(sum(dfs), 1)
    prior_df = min(PRIOR_DF, sum(dfs))
    return [
        max(np.sqrt((prior_df * pooled + square) / max(prior_df + df, 1.0)), SPREAD_MIN)
        for square, df in zip(squares, dfs, strict=True)
    ]


def _spacing(cells: RateCells, log_rate: float) -> float:
    """Distance of the measured log rates on either side of `log_rate`; 0 where there is one rate."""
    if len(cells.log_rate) < 2:
        return 0.0
    right = int(np.clip(np.searchsorted(cells.log_rate, log_rate), 1, len(cells.log_rate) - 1))
    return float(cells.log_rate[right] - cells.log_rate[right - 1])


def _with_grid_error(fit: RateFit, spacing: float) -> RateFit:
    """With at least what a grid of this spacing leaves open, however sure the shapes are."""
    return fit._replace(
        shape_sd=max(fit.shape_sd, GRID_STEPS * spacing**2), rate_sd=max(fit.rate_sd, GRID_RATE * spacing)
    )


def left_out(
    cells: RateCells, seeds: np.ndarray, fit: RateFit, spread: float, everyone: Sequence[int]
) -> tuple[LeftOut, LeftOut]:
    """(log steps, log rate). The steps are the mean over seeds, one that did not reach the goal being censored."""
    bound = cells.log_bound.max(1)
    kept = np.vstack([np.ones(len(seeds), bool), np.asarray(everyone)[:, None] != seeds])
    steps = [
        censored_mean(row[keep], bound[keep], spread)[0]
        if np.isfinite(row[keep]).any()
        else float(np.nanmean(row))
        for row, keep in zip(fit.log_steps, kept, strict=True)
    ]
    return (
        LeftOut(steps[0], tuple(steps[1:]), fit.shape_sd),
        LeftOut(float(fit.log_rate[0]), tuple(fit.log_rate[1:].tolist()), fit.rate_sd),
    )


def _reached_row(
    plane: RatePlane, fit: RateFit, spread: float, everyone: Sequence[int], level: float
) -> Optimum:
    fit = _with_grid_error(fit, _spacing(plane.cells, fit.log_rate[0]))
    log_steps, log_rate = left_out(plane.cells, plane.seeds, fit, spread, everyone)
    (steps,), (rate,) = (exp_estimates(part.replicates, level) for part in (log_steps, log_rate))
    searched = len(plane.cells.log_rate) > 1
    return Optimum(
        batch_size=plane.batch_size,
        steps=steps.best,
        low=steps.low,
        high=steps.high,
        examples=plane.examples(steps.best),
        learning_rate=rate if searched else None,
        edge=plane.edge,
        others=plane.others,
        n_seeds=len(plane.seeds),
        n_reached=int(plane.reached.sum()),
        seeds=tuple(plane.seeds.tolist()),
        seed_steps=tuple(np.exp(fit.log_steps[0]).tolist()),
        spread=float(spread),
        log_steps=log_steps,
        log_rate=log_rate,
    )


def _edges_of_others(result: Result, others: Mapping[str, float]) -> dict[str, str]:
    found = {}
    for name, value in others.items():
        low, high = result.hparams[name].min(), result.hparams[name].max()
        if low < high and value in (low, high):
            found[name] = "low" if value == low else "high"
    return found


def censored_row(
    batch_size: int, cells: RateCells, seeds: np.ndarray, others: Mapping[str, float]
) -> Optimum:
    """A batch size at which fewer than half of the seeds reached the goal."""
    bound = float(np.exp(np.median(cells.log_bound.max(1))))
    reached = np.isfinite(cells.log_steps).any(1)
    return Optimum(
        batch_size=batch_size,
        steps=None,
        low=bound if bound > 1 else None,
        high=None,
        examples=None,
        learning_rate=None,
        edge=None,
        others=others,
        n_seeds=len(seeds),
        n_reached=int(reached.sum()),
        seeds=tuple(seeds.tolist()),
        seed_steps=tuple(np.where(reached, np.exp(fewest(cells.log_steps)), np.nan).tolist()),
        spread=float("nan"),
        log_steps=LeftOut(),
        log_rate=LeftOut(),
    )


def grid_settings(result: Result, *, level: float = LEVEL) -> tuple[Optimum, ...]:
    """Best rate, and steps to the goal there, at every batch size of a grid, ascending; see `best_settings`."""
    planes = [best_plane(result, result.batch_size == size) for size in np.unique(result.batch_size)]
    kept = [plane for plane in planes if plane.has_best]
    everyone = sorted({int(seed) for plane in planes for seed in plane.seeds})
    fits = fit_rates([plane.cells for plane in kept], [plane.seeds for plane in kept], everyone)
    rows = {
        plane.batch_size: _reached_row(plane, fit, spread, everyone, level)._replace(
            edges=_edges_of_others(result, plane.others)
        )
        for plane, fit, spread in zip(kept, fits, moderated_spreads(fits), strict=True)
    }
    return tuple(
        rows.get(plane.batch_size) or censored_row(plane.batch_size, plane.cells, plane.seeds, plane.others)
        for plane in planes
    )
