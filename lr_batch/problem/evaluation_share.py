"""How often evaluations come, the part of the time that they may take, and whether each has to read all rows."""

from __future__ import annotations

import numpy as np

from lr_batch.fields import number
from lr_batch.problem.reaching import RULES
from lr_batch.problem.whole_set import MEAN, PERPLEXITY, RMSE, by_example
from lr_batch.problem.workload import Goal, Workload
from optim.names import unknown

EVEN = 0.5  # of the rows: as much noise as half of them would have


def read_growth(growth: float | None, reached: str) -> float:
    """Relative distance of neighbouring evaluations, the rule's own where None.

    Raises:
      ValueError: in one line: it is not above 0, or there is no such rule.
    """
    if reached not in RULES:
        raise ValueError(f"study: {unknown('reached', reached, RULES)}")
    growth = RULES[reached].growth if growth is None else growth
    if not number("evaluation_growth", growth) > 0:
        raise ValueError(f"study: evaluation_growth must be above 0, got {growth!r}")
    return number("evaluation_growth", growth)


def read_share(share: float | None, reached: str) -> float:
    """The share, or the rule's own where None.

    Raises:
      ValueError: in one line: a share that the rule does not allow.
    """
    rule = RULES[reached]
    share = number("evaluation_share", rule.share if share is None else share)
    if not 0 < share <= 1:
        raise ValueError(f"study: evaluation_share must be above 0 and at most 1, got {share!r}")
    if share < 1 and not rule.time_constant:
        raise ValueError(
            f"study: evaluation_share must be 1 with reached {reached!r}, got {share:g}: the "
            "first of many evaluations on parts of the held-out rows comes too early; take reached 'average'"
        )
    return share


def parts_stand_for_all(workload: Workload, goal: Goal) -> bool:
    """Whether what some of the held-out rows give stands for what all of them give.

    That of means does, if weights leave enough rows that count: at least `EVEN` of them by (sum w)^2 / sum w^2 (Kish,
    1965), the number of equal weights that would leave as much noise.
    """
    metric = workload.metrics.get(goal.metric, MEAN)
    if metric not in (MEAN, PERPLEXITY, RMSE):
        return False
    if workload.weights is None:
        return True
    weights = by_example(np.asarray(workload.weights(workload.eval_data), float))
    return bool(weights.sum() ** 2 >= EVEN * len(weights) * (weights**2).sum())
