"""Which of several studies of one workload needs least, in steps or in whatever a step costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lr_batch.analysis.critical_batch import Ratio
from lr_batch.analysis.intervals import LEVEL, Estimate, Replicates, difference, exp_estimates, holm, p_values
from lr_batch.analysis.measured_curve import point_replicates
from lr_batch.analysis.optimum import Optimum, study_seeds
from optim.arguments import explain_arguments


class Ranked(NamedTuple):
    """What one study needs at the batch size where it needs least.

    Attributes:
      name: of the study.
      cost: steps times what a step costs there, with its interval; infinite where no batch size reached the goal.
      batch_size: where that is; None where none reached the goal.
      ratio: cost over that of the first in rank, seeds paired; None for the first and for infinite ones.
      clear: whether the ratio differs from 1, all of them taken together (Holm, 1979).
    """

    name: str
    cost: Estimate
    batch_size: int | None
    ratio: Ratio | None = None
    clear: bool = False


@explain_arguments
def ranking(
    studies: Mapping[str, Sequence[Optimum]],
    step_cost: Mapping[str, Mapping[int, float]],
    *,
    level: float = LEVEL,
) -> tuple[Ranked, ...]:
    """Studies by the least they need at any of their batch sizes, the best first.

    A batch size at which fewer than half of the seeds reached the goal, diverged ones among them, costs infinitely much.
    Each reading without a seed chooses its own batch size.

    Args:
      studies: best settings of each, by name.
      step_cost: name -> batch size -> what one step costs, > 0: 1 for steps, the batch size for examples.
      level: coverage of the intervals, in (0, 1).
    """
    if not studies:
        raise ValueError("ranking: needs at least one study, got none")
    logs: dict[str, Replicates] = {}
    rows = []
    for name, optima in studies.items():
        reached = [o for o in optima if o.steps is not None]
        if not reached:
            rows.append(Ranked(name, Estimate(np.inf, np.inf, np.inf), None))
            continue
        _, steps = point_replicates(reached)
        log_cost = np.log([step_cost[name][o.batch_size] for o in reached])
        logs[name] = steps.map(lambda y, log_cost=log_cost: (y + log_cost).min(1)[:, None])
        place = int((steps.best + log_cost).argmin())
        rows.append(Ranked(name, exp_estimates(logs[name], level)[0], reached[place].batch_size))
    rows.sort(key=lambda row: row.cost.best)
    return _beside_first(rows, logs, {name: study_seeds(optima) for name, optima in studies.items()}, level)


def _beside_first(
    rows: Sequence[Ranked],
    logs: Mapping[str, Replicates],
    seeds: Mapping[str, tuple[int, ...]],
    level: float,
) -> tuple[Ranked, ...]:
    first, *others = rows
    compared = [row for row in others if row.name in logs]
    if first.name not in logs or not compared:
        return tuple(rows)
    base = logs[first.name], seeds[first.name]
    apart = [difference(logs[row.name], seeds[row.name], *base) for row in compared]
    p = np.array([float(p_values(one)[0]) for one in apart])
    ratios = {
        row.name: (Ratio(*exp_estimates(one, level)[0], float(value)), bool(told))
        for row, one, value, told in zip(compared, apart, p, holm(p, level), strict=True)
    }
    beside = [row._replace(ratio=ratios[row.name][0], clear=ratios[row.name][1]) for row in compared]
    return (first, *beside, *others[len(compared) :])
