"""The protocol of Shallue et al. (2019): the best of N feasible trials, and how optimistic it is.

Steps are those of the fastest of N settings. They are chosen by noisy steps, so the same setting with other seeds needs
more: that is measured, by choosing with one seed and looking at all others. Had N other settings been drawn, another one
would have won; and by other seeds too. Both are in the interval, a percentile bootstrap over settings and seeds. A
bootstrap of a minimum cannot tell how much faster a setting might be that nobody tried (Bickel & Freedman, 1981, section
6): the lower end is at least the fastest trial there is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lr_batch.analysis.intervals import LEVEL, Estimate
from lr_batch.analysis.lineages import lineage_settings
from lr_batch.analysis.rate_plane import seeds_by_settings
from lr_batch.result import DIVERGED, Result
from optim.arguments import explain_arguments

RESAMPLES = 1000


class BestOfTrials(NamedTuple):
    """What the protocol says at one batch size.

    Attributes:
      batch_size: examples per step.
      feasible, infeasible: settings; one that diverged with half of the seeds or more is not feasible.
      steps: of the fastest feasible setting, chosen for each seed, geometric mean over seeds; None where half of the
        seeds or more reached the goal with none. The interval is a bootstrap over settings and seeds; where settings
        change while they are trained it is that of `best_settings`, Student's over the seeds.
      optimism: how many times as many steps the chosen setting needs with the other seeds, at least: a trial that the
        race ended counts as long as it was trained. Of the seeds that it was trained with; None where that is a single
        one.
    """

    batch_size: int
    feasible: int
    infeasible: int
    steps: Estimate | None
    optimism: Estimate | None


@explain_arguments
def best_of_trials(
    result: Result, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[BestOfTrials, ...]:
    """The best of the feasible trials at every batch size, ascending.

    Args:
      result: trials of a search.
      level: coverage of the intervals, in (0, 1).
      resamples: of the bootstrap, at least 1.
      seed: of its draws.
    """
    found = tuple(
        _at(result, size, level, resamples, np.random.default_rng([seed, size]))
        for size in np.unique(result.batch_size).tolist()
    )
    if not (result.searched and result.searched.changes):
        return found
    # Members descend from each other, so seeds alone would be drawn again: of few of them a bootstrap covers too little.
    steps = {row.batch_size: row.estimate for row in lineage_settings(result, level=level)}
    return tuple(row._replace(steps=steps[row.batch_size]) for row in found)


def _at(result: Result, size: int, level: float, resamples: int, rng: np.random.Generator) -> BestOfTrials:
    rows = np.flatnonzero(result.batch_size == size)
    table = np.stack([column[rows] for column in result.hparams.values()], axis=1)
    settings, at = np.unique(table, axis=0, return_inverse=True)
    diverged = np.bincount(at.ravel(), result.status[rows] == DIVERGED) / np.bincount(at.ravel())
    feasible = np.flatnonzero(diverged < 0.5)
    counts = (len(feasible), len(settings) - len(feasible))
    _, log_steps, log_bound = seeds_by_settings(result, rows, at.ravel(), len(settings))
    known = np.where(np.isnan(log_steps), np.inf, log_steps)[:, feasible]
    spent = np.where(np.isnan(log_steps), log_bound, log_steps)[:, feasible]
    if not len(feasible) or not np.isfinite(np.median(known.min(1))):
        return BestOfTrials(size, *counts, None, None)
    num_seeds, num = known.shape
    changes = result.searched and result.searched.changes
    # Members that descend from each other are not drawn: a bootstrap over them would say nothing.
    columns = np.tile(np.arange(num), (resamples, 1)) if changes else rng.integers(num, size=(resamples, num))
    by = rng.integers(num_seeds, size=(resamples, num_seeds))
    best, regret = _chosen(known, spent, np.arange(num)[None], np.arange(num_seeds)[None])
    bests, regrets = _chosen(known, spent, columns, by)
    return BestOfTrials(
        size,
        *counts,
        _estimate(best[0], bests, level),
        None if np.isnan(regret[0]) else _estimate(regret[0], regrets[~np.isnan(regrets)], level),
    )


def _chosen(
    known: Float[np.ndarray, "seeds settings"],
    spent: Float[np.ndarray, "seeds settings"],
    columns: np.ndarray,
    by: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(log steps of the fastest of the `columns`, log of what it needs more with the other seeds) of each resample,
    chosen `by` some seeds, in the mean over those that reached the goal."""
    winner = np.take_along_axis(columns[None], known[:, columns].argmin(2)[..., None], axis=2)[..., 0]
    seeds = np.arange(len(known))[:, None]
    best = known[seeds, winner]  # [seeds resamples]
    ran = np.isfinite(spent)  # a seed with which a setting was never trained says nothing of it
    finite = np.where(ran, spent, 0.0)
    others = finite[:, winner].sum(0) - finite[seeds, winner]  # over all seeds but the one that chose
    count = ran[:, winner].sum(0) - ran[seeds, winner]
    with np.errstate(invalid="ignore"):
        regret = np.where(count > 0, others / np.maximum(count, 1) - best, np.nan)
    pick = lambda table: np.where(np.isfinite(best), table, np.nan).T[np.arange(len(by))[:, None], by]
    lost = ~np.isfinite(best.T[np.arange(len(by))[:, None], by])
    enough = lost.mean(1) < 0.5
    regrets = pick(regret)
    seen = enough & ~np.isnan(regrets).all(1)
    return _mean(pick(best), enough), np.where(enough & ~seen, np.nan, _mean(regrets, seen))


def _mean(table: np.ndarray, enough: np.ndarray) -> np.ndarray:
    """Of what each row knows; infinite where that is not `enough`."""
    return np.where(enough, np.nanmean(np.where(enough[:, None], table, 0.0), axis=1), np.inf)


def _estimate(value: float, resampled: np.ndarray, level: float) -> Estimate:
    low, high = np.quantile(resampled, [0.5 - level / 2, 0.5 + level / 2], method="nearest")
    return Estimate(*np.exp([value, min(low, value), max(high, value)]).tolist())
