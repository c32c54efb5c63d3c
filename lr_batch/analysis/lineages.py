"""The fastest member at every batch size, where a search changes settings while they are trained.

A member is one setting with all its changes, trained with every seed. No smooth surface goes through such settings:
they have a dimension for each change, and most differ from a better one in the last. So what is read off them is the
protocol of Shallue et al. (2019) alone, the fewest steps of any member, chosen for each seed. The interval is over
seeds, for the members that there are: another population might have found others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lr_batch.analysis.intervals import LEVEL, exp_estimates
from lr_batch.analysis.optimum import Optimum, censored_row, left_out, moderated_spreads
from lr_batch.analysis.rate_fit import RateFit
from lr_batch.analysis.rate_plane import fewest
from lr_batch.analysis.searched_optimum import TrialsAt, trials_at
from lr_batch.design import step_of
from lr_batch.problem.batch_schedule import steps_of_trials
from lr_batch.problem.changes import Changes, changes_of
from lr_batch.result import Result
from optim.arguments import explain_arguments


class Piece(NamedTuple):
    """What holds from a step on: the hyperparameters that change, by their plain names."""

    start: int
    setting: Mapping[str, float]


@explain_arguments
def pieces(result: Result, optimum: Optimum) -> tuple[Piece, ...]:
    """The schedule that the fastest member of a batch size has become, as far as it was needed to reach the goal.

    Args:
      result: trials of a search that changes settings.
      optimum: of `best_settings(result)`.
    """
    changes = changes_of(optimum.lineage)
    if not changes:
        return ()
    budget = int(steps_of_trials(result.budget, optimum.batch_size, result.batch_schedule))
    evaluated = np.unique(
        np.concatenate(
            [result.curves[i].steps for i in np.flatnonzero(result.batch_size == optimum.batch_size)]
        )
    )
    found = [Piece(0, _values(optimum.lineage, changes, 0))]
    for number, name in enumerate(changes.starts, 1):
        asked = step_of(optimum.lineage[name], budget)
        start = int(evaluated[min(np.searchsorted(evaluated, asked), len(evaluated) - 1)])
        setting = _values(optimum.lineage, changes, number)
        if start >= (np.inf if optimum.steps is None else optimum.steps):
            break
        if start == found[-1].start:
            found[-1] = Piece(start, setting)
        elif setting != found[-1].setting:
            found.append(Piece(start, setting))
    return tuple(found)


def _values(lineage: Mapping[str, float], changes: Changes, number: int) -> dict[str, float]:
    piece = changes.piece(lineage, number)
    return {name: piece[name] for name in changes.names}


def lineage_settings(result: Result, *, level: float = LEVEL) -> tuple[Optimum, ...]:
    """Fewest steps of any member at every batch size, ascending; see `best_settings`."""
    sizes = [trials_at(result, size) for size in np.unique(result.batch_size).tolist()]
    everyone = sorted({int(seed) for size in sizes for seed in size.seeds})
    kept = [size for size in sizes if 2 * size.heard.sum() >= len(size.seeds)]
    fits = [_fit(size, len(everyone)) for size in kept]
    rows = {
        size.batch_size: _reached(size, fit, spread, everyone, level)
        for size, fit, spread in zip(kept, fits, moderated_spreads(fits), strict=True)
    }
    return tuple(rows.get(size.batch_size) or _row(size) for size in sizes)


def _fit(size: TrialsAt, seeds: int) -> RateFit:
    """Fewest log steps of each seed, whichever seed is left out: seeds choose for themselves."""
    log_steps = np.where(size.heard, fewest(size.cells.log_steps), np.nan)
    return RateFit(np.full(1 + seeds, np.nan), np.tile(log_steps, (1 + seeds, 1)), 0.0, 0.0)


def _reached(size: TrialsAt, fit: RateFit, spread: float, everyone: Sequence[int], level: float) -> Optimum:
    log_steps, _ = left_out(size.cells, size.seeds, fit, spread, everyone)
    (steps,) = exp_estimates(log_steps.replicates, level)
    return _row(size)._replace(
        steps=steps.best,
        low=steps.low,
        high=steps.high,
        examples=size.examples(steps.best),
        spread=float(spread),
        log_steps=log_steps,
    )


def _row(size: TrialsAt) -> Optimum:
    """A batch size without its steps: the member that was fastest with the most seeds, and what all members share."""
    steps = np.where(np.isnan(size.cells.log_steps), np.inf, size.cells.log_steps)
    best = int(np.lexsort((steps.min(0), np.median(steps, axis=0)))[0])
    setting = {name: float(column[best]) for name, column in size.settings.items()}
    changes = changes_of(setting)
    own = {*changes.names, *changes.further} if changes else set()
    return censored_row(
        size.batch_size, size.cells, size.seeds, {n: v for n, v in setting.items() if n not in own}
    )._replace(lineage={n: v for n, v in setting.items() if n in own}, searched=True)
