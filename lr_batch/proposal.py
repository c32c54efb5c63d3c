"""Proposes a goal: what a good setting reaches late, from a short training at one batch size."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lr_batch.problem.goal import better
from lr_batch.problem.lengths import steps_within
from lr_batch.problem.reaching import averaged
from lr_batch.problem.workload import Goal, num_examples
from lr_batch.resolve import as_optimizer, as_workload
from lr_batch.result import DIVERGED, Result
from lr_batch.study import Study
from lr_batch.sweep import run
from lr_batch.tally import Progress
from optim.arguments import explain_arguments

EPOCHS = 20  # of the training, within the workload's budget
SEEDS = 4
LATE = 0.5  # share of the steps at which the goal should be reached
MARGIN = 2.0  # standard deviations over seeds by which it is easier, so that nearly every seed gets there
UNREACHABLE = 1e30  # so that every trial is trained to the end


class Proposal(NamedTuple):
    """A goal, and what it was read off.

    Attributes:
      goal: rounded to two digits on the easier side.
      batch_size, learning_rate: of the best setting; the metric averaged in log step decides.
      step: at which that setting had got so far.
      start, end: its metric before the first step and after the last one of `steps`.
      noise: standard deviation of the average over seeds at `step`.
    """

    goal: Goal
    batch_size: int
    learning_rate: float
    step: int
    steps: int
    start: float
    end: float
    noise: float


@explain_arguments
def propose_goal(
    workload,
    optimizer="sgd",
    *,
    metric: str | None = None,
    on_chunk: Callable[[Progress], None] | None = None,
) -> Proposal:
    """Trains every default rate at the workload's middle batch size and reads off a goal.

    Args:
      workload: as for `Study`.
      optimizer: as for `Study`.
      metric: of the goal; the workload's, with its direction, where None. That of another follows from its name: an
        accuracy rises, what has no known name falls.
      on_chunk: as for `run`.

    Raises:
      ValueError: if no setting gets better than it was at the start.
    """
    workload, optimizer = as_workload(workload), as_optimizer(optimizer)
    batch_size = workload.batch_sizes[len(workload.batch_sizes) // 2]
    goal = workload.goal
    if metric not in (None, goal.metric):
        goal = Goal(metric, 0.0, above=better(metric)[0])
    study = Study(
        workload=workload,
        optimizer=optimizer,
        batch_sizes=(batch_size,),
        seeds=SEEDS,
        goal=goal._replace(threshold=-goal.sign * UNREACHABLE),
        budget=min(workload.budget, -(-EPOCHS * num_examples(workload.train_data) // batch_size)),
        slack=float("inf"),
        extend=False,
    )
    return _read_off(run(study, on_chunk=on_chunk))


def _read_off(result: Result) -> Proposal:
    goal, rates = result.goal, result.hparams["learning_rate"]
    lasting = [rate for rate in np.unique(rates) if not (result.status[rates == rate] == DIVERGED).any()]
    curves = {rate: _averages(result, rates == rate) for rate in lasting}
    if not curves:
        raise ValueError("goal: every learning rate diverged in some seed: take lower ones")
    best = min(curves, key=lambda rate: goal.sign * curves[rate][-1].mean())
    steps = result.curves[int(np.flatnonzero(rates == best)[0])].steps
    late = int(np.searchsorted(steps, LATE * result.budget))
    values, noise = curves[best], float(curves[best][late].std(ddof=1))
    start, end = float(values[0].mean()), float(values[-1].mean())
    threshold = _eased(float(values[late].mean()) + goal.sign * MARGIN * noise, goal)
    proposed = goal._replace(threshold=threshold)
    budget = steps_within(result.budget, int(result.batch_size[0]))
    if proposed.is_met(start):
        raise ValueError(
            f"goal: no setting got better than at the start, {goal.metric} {start:.3g}, within {budget:,} steps"
        )
    return Proposal(
        proposed, int(result.batch_size[0]), float(best), int(steps[late]), budget, start, end, noise
    )


def _averages(result: Result, rows: np.ndarray) -> np.ndarray:
    """Averaged curves [evaluations, seeds] of trials that were all trained to the end."""
    curves = [result.curves[i] for i in np.flatnonzero(rows)]
    return averaged(
        curves[0].steps,
        np.stack([c.values for c in curves], axis=1),
        result.time_constant,
        result.goal.metric,
    )


def _eased(value: float, goal: Goal) -> float:
    """Rounded to two digits, to the easier side."""
    unit = 10.0 ** (np.floor(np.log10(abs(value))) - 1) if value else 1.0
    return float(f"{unit * (np.floor if goal.above else np.ceil)(value / unit):.4g}")
