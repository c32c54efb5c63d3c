"""Goals as people type them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from lr_batch.errors import StudyError
from lr_batch.problem.workload import Goal

COMPLEMENTS = {"accuracy": "error", "acc": "error", "error": "accuracy"}  # of which two add up to 1
MORE_IS_BETTER = set(
    "accuracy acc auc auroc auprc precision recall r2 f1 fbeta iou dice psnr ssim bleu hit hits top kappa mcc".split()
)
SURELY_LESS = set("error err loss nll perplexity ppl rmse mse mae miss misses".split())
LESS_IS_BETTER = SURELY_LESS | set("distance gap drop".split())  # top1_error, dice_loss, accuracy_drop
# Values that metrics of ours can take.
BOUNDS = {
    "perplexity": (1.0, math.inf),
    "rmse": (0.0, math.inf),
    "error": (0.0, math.inf),
    "r2": (-math.inf, 1.0),
    "average_precision": (0.0, 1.0),
}


def better(metric: str) -> tuple[bool, bool]:
    """Whether more of a metric is better, and whether less is, by its name; neither where that says nothing.

    >>> [better(name) for name in ("val_accuracy", "top1_error", "r2", "perplexity", "energy")]
    [(True, False), (False, True), (True, False), (False, True), (False, False)]
    """
    words = set(metric.lower().replace("-", "_").split("_"))
    words |= {word.rstrip("0123456789") for word in words}  # top1, acc5
    more, less = bool(words & MORE_IS_BETTER), bool(words & LESS_IS_BETTER)
    return more and not less, bool(words & SURELY_LESS)


def check_direction(name: str, goal: Goal) -> None:
    """Refuses a goal on the side from which training moves away, as the metric's name says.

    Raises:
      StudyError: with the goal that was meant.
    """
    more, less = better(goal.metric)
    if (more and not goal.above) or (less and goal.above):
        raise StudyError(
            f"{name}: {'more' if more else 'less'} {goal.metric} is better, but the goal is {goal}: write "
            f"'{goal._replace(above=more)}'"
        )


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
        _check_reachable(goal)
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


def _check_reachable(goal: Goal) -> None:
    low, high = BOUNDS.get(goal.metric, (-math.inf, math.inf))
    if goal.threshold >= high if goal.above else goal.threshold <= low:
        raise ValueError(
            f"goal: {goal} cannot be reached: {goal.metric} is at {f'most {high:g}' if goal.above else f'least {low:g}'}"
        )


def _threshold(text: str | float) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(f"goal: threshold must be a finite number, got {text!r}") from None
