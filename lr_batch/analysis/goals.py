"""The same trials at other goals: their curves are kept, so that nothing is trained again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lr_batch.analysis.critical_batch import MIN_BATCH_SIZES, CriticalBatchSize, critical_batch_size
from lr_batch.problem.goal import parse_goal
from lr_batch.problem.reaching import averaged, crossing, from_scale, on_scale
from lr_batch.problem.workload import Goal
from lr_batch.result import BUDGET, DIVERGED, REACHED, Result
from optim.arguments import explain_arguments

SHARES = (0.03, 0.1, 0.2, 0.4)  # of the way from the goal back to the start, for easier goals
SEARCHED_SHARES = (0.1, 0.4)  # of a search: each of its goals takes the seconds of a surface
FEW_STEPS = 5.0  # a goal met sooner says little about training: whole steps are its unit


class CriticalAtGoal(NamedTuple):
    """`critical` is None where the trials do not allow it; `refusal` says why."""

    goal: Goal
    critical: CriticalBatchSize | None
    refusal: str


@explain_arguments
def at_goal(result: Result, goal: Goal | str) -> Result:
    """The result that the trials give at another goal of the same metric, by the same rule of reaching it.

    A trial that was not trained as far as the goal is censored where its training ended, which the race to the
    result's own goal decided: an easier goal is measured as if it had been asked for, of a harder one many trials
    only bound the steps.

    Args:
      result: trials with their curves.
      goal: such as "loss<0.3".

    Raises:
      ValueError: if the goal is of another metric, whose curves were not kept, or in the other direction.
    """
    goal = parse_goal(goal)
    if (goal.metric, goal.above) != (result.goal.metric, result.goal.above):
        raise ValueError(
            f"at_goal: the curves of these trials are of {result.goal}; another goal has to look like "
            f"'{result.goal._replace(threshold=goal.threshold)}', got '{goal}'"
        )
    return _crossed(result, goal, _averages(result))


class Averages(NamedTuple):
    """Trials that were evaluated at the same steps, side by side, as the rule of reaching sees them."""

    trials: Int[np.ndarray, " trials"]
    steps: Int[np.ndarray, " evals"]
    values: Float[np.ndarray, "evals trials"]


def _averages(result: Result) -> list[Averages]:
    together: dict[bytes, list[int]] = {}
    for trial, curve in enumerate(result.curves):
        together.setdefault(np.asarray(curve.steps).tobytes(), []).append(trial)
    return [_side_by_side(result, np.array(trials)) for trials in together.values()]


def _side_by_side(result: Result, trials: np.ndarray) -> Averages:
    steps = np.asarray(result.curves[trials[0]].steps)
    values = np.stack([result.curves[trial].values for trial in trials], axis=1)
    return Averages(trials, steps, averaged(steps, values, result.time_constant, result.goal.metric))


def _crossed(result: Result, goal: Goal, averages: Sequence[Averages]) -> Result:
    steps = np.full(result.num_trials, np.nan)
    for group in averages:
        steps[group.trials] = crossing(group.steps, group.values, goal)
    lost = np.where(result.status == DIVERGED, DIVERGED, BUDGET)
    # A trial that reached the result's own goal and diverged later is known to have lived as long as its curve.
    status = np.where(np.isfinite(steps), REACHED, lost).astype(object)
    return result._replace(goal=goal, steps_to_goal=steps, status=status)


def easier_goals(result: Result) -> tuple[Goal, ...]:
    """Goals between the result's own and the start of training, harder ones first, with two digits."""
    if result.searched and len(np.unique(result.batch_size)) < MIN_BATCH_SIZES:
        return ()  # no goal has a critical batch size then
    starts = [curve.values[0] for curve in result.curves if len(curve.values)]
    if not starts:
        return ()
    goal, start = result.goal, float(np.median(starts))
    far, near = on_scale(goal.metric, start), on_scale(goal.metric, goal.threshold)
    shares = SEARCHED_SHARES if result.searched else SHARES
    between = [from_scale(goal.metric, near + share * (far - near)) for share in shares]
    goals = [goal._replace(threshold=float(f"{threshold:.2g}")) for threshold in between]
    return tuple(easier for easier in dict.fromkeys(goals) if easier != goal and not easier.is_met(start))


@explain_arguments
def critical_by_goal(result: Result, own: CriticalBatchSize | None = None) -> tuple[CriticalAtGoal, ...]:
    """The critical batch size at the result's own goal and at easier ones.

    Goals that some batch size reaches within a few steps are refused: whole steps are their unit.

    Args:
      result: trials with their curves.
      own: `critical_batch_size(result)` where it is known already.
    """
    goals = easier_goals(result)
    averages = _averages(result) if goals else []
    easier = [_critical_at(_crossed(result, goal, averages)) for goal in goals]
    return (_critical_at(result, own), *easier)


def _critical_at(result: Result, known: CriticalBatchSize | None = None) -> CriticalAtGoal:
    goal = result.goal
    try:
        critical = known or critical_batch_size(result)
    except ValueError as error:
        return CriticalAtGoal(goal, None, str(error))
    fewest = min(optimum.steps for optimum in critical.optima if optimum.steps is not None)
    if fewest < FEW_STEPS:
        return CriticalAtGoal(goal, None, f"met within {fewest:.1f} steps at some batch size")
    return CriticalAtGoal(goal, critical, "")
