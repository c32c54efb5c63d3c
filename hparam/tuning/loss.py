"""What a search minimises, read off a trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lr_batch import DIVERGED, REACHED, Goal


def loss_of(
    status: str, steps_to_goal: float, value: float, goal: Goal, *, budget: int, to_goal: bool
) -> float:
    """The metric at the end, or the steps to the goal; infinite where the trial diverged.

    The metric is negative where more of it is better. A trial that came to its end without reaching the goal counts
    as budget * (1 + distance of its last evaluation from the goal): no less than any that reached it, and the more the
    farther away it was, so that a search is drawn towards the goal. The distance is 0 where the last evaluation lies
    beyond the goal, as it may where the average of the metric decides.
    """
    if status == DIVERGED:
        return float("inf")
    if status == REACHED:
        return float(steps_to_goal)
    if not to_goal:
        return goal.sign * value
    return budget * (1 + max(goal.sign * (value - goal.threshold), 0.0))


def stored_loss(
    study: Mapping[str, Any], status: str, steps_to_goal: float, values: Any, budget: int
) -> float:
    """The same of a trial in the store of a search, by the store's description of it."""
    metric, threshold, *rest = study["goal"]
    to_goal = threshold is not None
    goal = Goal(metric, threshold if to_goal else 0.0, *rest)
    value = float(values[-1]) if len(values) else float("nan")
    return loss_of(status, steps_to_goal, value, goal, budget=budget, to_goal=to_goal)
