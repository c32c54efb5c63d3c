"""Goals as people type them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from lr_batch.problem.workload import Goal

COMPLEMENTS = {"accuracy": "error", "acc": "error", "error": "accuracy"}  # of which two add up to 1


def parse_goal(goal: Goal | str) -> Goal:
    """Reads "loss<0.2" or "accuracy>0.95"; a `Goal` passes through once its threshold is checked.

    Raises:
      ValueError: with the form that is allowed.

    >>> parse_goal("error < 0.05")
    Goal(metric='error', threshold=0.05, above=False)
    >>> str(parse_goal("accuracy>0.95"))
    'accuracy > 0.95'
    """
    if isinstance(goal, str):
        match = re.fullmatch(r"\s*(\w+)\s*([<>])\s*([^\s<>=]\S*)\s*", goal)
        if not match:
            raise ValueError(f"goal: must look like 'loss<0.2' or 'accuracy>0.95', got {goal!r}")
        goal = Goal(match[1], _threshold(match[3]), above=match[2] == ">")
    if not isinstance(goal, Goal):
        raise ValueError(f"goal: must be a Goal or look like 'loss<0.2', got {goal!r}")
    if not math.isfinite(_threshold(goal.threshold)):
        raise ValueError(f"goal: threshold must be a finite number, got {goal.threshold!r}")
    return goal._replace(threshold=float(goal.threshold))


def complement(goal: Goal, known: Collection[str]) -> str:
    """The same goal in the metric that is there: an accuracy is one minus an error.

    >>> complement(parse_goal("accuracy>0.9"), ["loss", "error"])
    '; accuracy > 0.9 is error < 0.1'
    >>> complement(parse_goal("accuracy>0.9"), ["loss"]), complement(parse_goal("accuracy>90"), ["error"])
    ('', '; accuracy is 1 - error, a share from 0 to 1')
    """
    other = COMPLEMENTS.get(goal.metric)
    if other is None or other not in known:
        return ""
    if not 0 <= goal.threshold <= 1:
        return f"; {goal.metric} is 1 - {other}, a share from 0 to 1"
    there = Goal(other, float(f"{1 - goal.threshold:.6g}"), above=not goal.above)
    return f"; {goal} is {there}"


def _threshold(text: str | float) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(f"goal: threshold must be a finite number, got {text!r}") from None
