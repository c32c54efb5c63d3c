"""The best setting at every batch size, of a grid or of a search."""

from __future__ import annotations

from lr_batch.analysis.intervals import LEVEL
from lr_batch.analysis.lineages import lineage_settings
from lr_batch.analysis.optimum import Optimum, grid_settings
from lr_batch.analysis.searched_optimum import searched_settings
from lr_batch.result import Result
from optim.arguments import explain_arguments, type_of


@explain_arguments
def best_settings(result: Result, *, level: float = LEVEL) -> tuple[Optimum, ...]:
    """Best rate, and steps to the goal there, at every batch size, ascending.

    The best setting is not the one with the fewest steps but the minimum of a smooth fit over all seeds: of a grid over
    its rates, while the other hyperparameters take their best measured value (see `lr_batch.analysis.rate_fit`); of a
    search over all that it searched (see `lr_batch.analysis.surface`); of one that changes settings while they are
    trained the fewest steps of a trial (see `lr_batch.analysis.lineages`). The steps are the median over seeds under a
    log-normal law: the mean of the logs, in which a seed that did not reach the goal counts as censored. Intervals are
    Student's (`lr_batch.analysis.intervals`): everything is computed again without each seed, and what the settings that
    were tried leave open is added.

    Args:
      result: trials; the rate is the hyperparameter "learning_rate".
      level: coverage of the intervals, in (0, 1).
    """
    if not isinstance(result, Result):
        raise ValueError(f"best_settings: result must be what lr_batch.run returns, got {type_of(result)}")
    if not 0 < level < 1:
        raise ValueError(f"best_settings: level must be in (0, 1), got {level}")
    if result.searched and result.searched.changes:
        return lineage_settings(result, level=level)
    return (searched_settings if result.searched else grid_settings)(result, level=level)
