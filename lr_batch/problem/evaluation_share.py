"""How often evaluations come, the part of the time that they may take, and where they have to read everything."""

from __future__ import annotations

from lr_batch.fields import number
from lr_batch.problem.reaching import RULES, Rule
from lr_batch.problem.whole_set import MEAN, PERPLEXITY, RMSE
from lr_batch.problem.workload import Goal, Workload
from optim.names import unknown


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


def read_share(share: float | None, workload: Workload, goal: Goal, rule: Rule) -> float:
    """The share, or the rule's own where None; 1 where the metric of a part of the held-out rows does not stand for all.

    Raises:
      ValueError: in one line: a share that the rule or the metric does not allow.
    """
    metric = workload.metrics.get(goal.metric, MEAN)
    of_parts = metric in (MEAN, PERPLEXITY, RMSE) and workload.weights is None
    if share is None:
        share = rule.share if of_parts else 1.0
    share = number("evaluation_share", share)
    if not 0 < share <= 1:
        raise ValueError(f"study: evaluation_share must be above 0 and at most 1, got {share!r}")
    if share < 1 and not rule.time_constant:
        (reached,) = (name for name, known in RULES.items() if known is rule)
        raise ValueError(
            f"study: evaluation_share must be 1 with reached {reached!r}, got {share:g}: the "
            "first of many evaluations on parts of the held-out rows comes too early; take reached 'average'"
        )
    if share < 1 and not of_parts:
        raise ValueError(
            f"study: evaluation_share must be 1 for {goal.metric}, got {share:g}: that of a "
            "part of the held-out rows does not stand for that of all"
        )
    return share
