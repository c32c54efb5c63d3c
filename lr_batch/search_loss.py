"""What a search is told of a setting: how far it is from the best one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from lr_batch.design import Settings
from lr_batch.problem.batch_schedule import steps_of_trials
from lr_batch.result import DIVERGED, REACHED, Result
from lr_batch.study import Study


def losses(
    study: Study, result: Result, wanted: Mapping[int, Settings]
) -> dict[int, Float[np.ndarray, " settings"]]:
    """The median over seeds of log steps to the goal, for each setting that was wanted.

    A trial that did not get there counts as log budget and its distance from the goal, so that a search is drawn
    towards it; one that diverged as infinite. So a setting that diverged with half of its seeds or more is infinite:
    it is not feasible. NaN where nothing of it is known, because memory or time did not suffice.
    """
    table: dict[tuple, list[float]] = {}
    names, of_trial = list(result.hparams), trial_losses(study, result)
    columns = [result.batch_size, *result.hparams.values()]
    for loss, *place in zip(of_trial, *columns, strict=True):
        table.setdefault(tuple(place), []).append(loss)
    median = lambda size, setting: np.median(table.get((size, *(setting[name] for name in names)), [np.nan]))
    return {
        size: np.array([median(size, setting) for setting in settings], float)
        for size, settings in wanted.items()
    }


def trial_losses(study: Study, result: Result) -> Float[np.ndarray, " trials"]:
    """Of each trial alone."""
    last = np.array([curve.values[-1] if len(curve.values) else np.inf for curve in result.curves])
    far = np.maximum(result.goal.sign * (last - result.goal.threshold), 0.0)
    budgets = steps_of_trials(study.budget, result.batch_size, study.batch_schedule)
    missed = np.where(result.status == DIVERGED, np.inf, np.log(budgets) + far)
    return np.where(result.status == REACHED, np.log(np.fmax(result.steps_to_goal, 1e-9)), missed)
