"""Trials of one batch size as a matrix, seeds by rates, at the best setting of the other hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from lr_batch.analysis.rate_fit import RateCells
from lr_batch.result import DIVERGED, Result

RATE = "learning_rate"
WITHIN = 2.0  # lanes slower than this, relative to the fastest of their seed, only bound: no slack of 2 or more matters


class RatePlane(NamedTuple):
    """Trials of one batch size, seeds by rates, at one setting of everything else."""

    batch_size: int
    others: Mapping[str, float]
    seeds: np.ndarray
    cells: RateCells
    examples: Callable[[float], float]  # of so many steps

    @property
    def reached(self) -> np.ndarray:
        """Which seeds reached the goal at some rate."""
        return np.asarray(np.isfinite(self.cells.log_steps).any(1))

    @property
    def has_best(self) -> bool:
        """Whether at least half of the seeds reached the goal, so that there is a best rate."""
        return 2 * int(self.reached.sum()) >= len(self.seeds)

    @property
    def edge(self) -> Literal["low", "high"] | None:
        """Whether the rate with the fewest steps in the median over seeds is the first or the last."""
        if len(self.cells.log_rate) < 2:
            return None
        steps = np.where(np.isnan(self.cells.log_steps), np.inf, self.cells.log_steps)
        median = np.median(steps, axis=0)
        cell = int(np.lexsort((steps.min(0), median))[0])
        return "low" if cell == 0 else "high" if cell == len(median) - 1 else None


def best_plane(result: Result, rows: np.ndarray) -> RatePlane:
    """The setting of the other hyperparameters whose seeds need the fewest steps in the median."""
    names = [name for name in result.hparams if name != RATE]
    table = np.stack([result.hparams[name][rows] for name in names] or [np.zeros(rows.sum())], axis=1)
    settings, which = np.unique(table, axis=0, return_inverse=True)
    index = np.flatnonzero(rows)
    planes = [
        _plane(result, index[which.ravel() == i], dict(zip(names, map(float, setting), strict=False)))
        for i, setting in enumerate(settings)
    ]
    return min(planes, key=lambda plane: float(np.median(fewest(plane.cells.log_steps))))


def _plane(result: Result, rows: np.ndarray, others: Mapping[str, float]) -> RatePlane:
    rate = result.hparams[RATE] if RATE in result.hparams else np.ones(result.num_trials)
    rates, at_rate = np.unique(rate[rows], return_inverse=True)
    seeds, log_steps, log_bound = seeds_by_settings(result, rows, at_rate, len(rates))
    return RatePlane(
        int(result.batch_size[rows][0]),
        others,
        seeds,
        RateCells(np.log(rates), log_steps, log_bound),
        partial(result.examples, int(result.batch_size[rows][0])),
    )


def seeds_by_settings(
    result: Result, rows: np.ndarray, at_setting: np.ndarray, num_settings: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(seeds, log steps [seeds settings], log bounds) of the trials `rows`, `at_setting` of which each is; as a race with
    slack `WITHIN` would have left them."""
    seeds, at_seed = np.unique(result.seed[rows], return_inverse=True)
    log_steps = np.full((len(seeds), num_settings), np.nan)
    log_steps[at_seed, at_setting] = np.log(result.steps_to_goal[rows])
    log_bound = np.full(log_steps.shape, -np.inf)  # a cell that was never run bounds nothing
    log_bound[at_seed, at_setting] = np.log(_trained(result, rows, at_seed))
    return seeds, *_cut(log_steps, log_bound)


def _trained(result: Result, rows: np.ndarray, at_seed: np.ndarray) -> np.ndarray:
    """Steps that each trial took without reaching the goal. A diverged one took few, but would never get there: it
    counts as long as the longest trial of its seed."""
    diverged = result.status[rows] == DIVERGED
    longest = np.ones(at_seed.max() + 1)
    np.maximum.at(longest, at_seed, np.where(diverged, 1, result.steps[rows]))
    return np.maximum(np.where(diverged, longest[at_seed], result.steps[rows]), 1)


def _cut(log_steps: np.ndarray, log_bound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log steps, log bounds) as a race with slack `WITHIN` would have left them."""
    end = fewest(log_steps)[:, None] + np.log(WITHIN)
    return np.where(log_steps <= end, log_steps, np.nan), np.minimum(log_bound, end)


def fewest(log_steps: np.ndarray) -> np.ndarray:
    """Fewest log steps of each seed, inf where none reached the goal."""
    return np.where(np.isnan(log_steps), np.inf, log_steps).min(1)
