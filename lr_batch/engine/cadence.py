"""At which steps a trial is evaluated, and on how many held-out rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from lr_batch.engine.step_cost import rows_worth_a_step
from lr_batch.problem.reaching import AVERAGE, RULES
from lr_batch.problem.workload import num_examples
from lr_batch.study import Study

GOLDEN = 0.6180339887498949
ROWS = 64  # fewest that are read at once: with fewer the time goes into starting kernels
SPARSEST = (
    0.25  # of the steps, between evaluations: less than what an average in log step looks back over, 0.3
)


class Cadence(NamedTuple):
    """Steps of the evaluations and held-out rows that each of them reads; 0 stands for all."""

    steps: Int[np.ndarray, " evals"]
    rows: Int[np.ndarray, " evals"]

    def reads(self, num_rows: int, seed: int) -> Int[np.ndarray, "evals 2"]:
        """First place in the order of `num_rows` held-out rows and number of rows of each evaluation, as in `Terms`.

        One evaluation goes on where the one before ended. Seeds begin far apart, so that what a part of the rows has
        for a bias differs between them: by the golden ratio, which spreads any number of them evenly.
        """
        number = np.where(self.rows == 0, num_rows, self.rows).astype(np.int64)
        start = int(seed * GOLDEN % 1 * num_rows)
        first = (start + np.cumsum(number) - number) % num_rows
        return np.stack([np.where(self.rows == 0, 0, first), self.rows], axis=1).astype(np.int32)

    def rows_read(self, evals: int, num_rows: int) -> int:
        """By the first `evals` evaluations of one trial, of `num_rows` held-out rows that there are."""
        return int(np.where(self.rows == 0, num_rows, self.rows)[:evals].sum())


def cadence_of(study: Study) -> Int[np.ndarray, " evals"]:
    """Steps of all evaluations that the longest trials of a study may have."""
    return evaluation_steps(study.max_steps, study.evaluation_growth)


def cadence_at(study: Study, batch_size: int) -> Cadence:
    """Evaluations of the trials at one batch size."""
    steps = evaluation_steps(study.steps_at(batch_size), study.evaluation_growth)
    share = study.evaluation_share
    if share == 1:
        return Cadence(steps, np.zeros_like(steps))
    rows_per_step = share / (1 - share) * rows_worth_a_step(study, batch_size)
    num_rows = num_examples(study.workload.eval_data)
    if study.parts_stand_for_all:
        return within_allowance(steps, rows_per_step, num_rows)
    return of_all_rows(steps, num_rows / rows_per_step)


def counted_costs(study: Study, batch_size: int, evals: int) -> tuple[float, float]:
    """Of a trial after `evals` evaluations: held-out rows that it has read, and those that its steps are worth."""
    cadence = cadence_at(study, batch_size)
    read = cadence.rows_read(evals, num_examples(study.workload.eval_data))
    return float(read), float(cadence.steps[evals - 1] * rows_worth_a_step(study, batch_size))


def reads_parts(study: Study) -> bool:
    """Whether any evaluation of a study reads a part of the held-out rows."""
    return any(cadence_at(study, size).rows.any() for size in study.batch_sizes)


def evaluation_steps(budget: int, growth: float = RULES[AVERAGE].growth) -> Int[np.ndarray, " evals"]:
    """0, 1, 2, ... and then in a geometric progression with ratio 1 + growth, up to `budget`.

    Small step counts are not quantised, large ones do not spend their time evaluating.

    Args:
      budget: last step, at least 1.
      growth: relative distance of neighbours, above 0.
    """
    steps = [0]
    while steps[-1] < budget:
        steps.append(min(budget, max(steps[-1] + 1, round(steps[-1] * (1 + growth)))))
    return np.array(steps, dtype=np.int32)


def within_allowance(steps: Int[np.ndarray, " evals"], rows_per_step: float, num_rows: int) -> Cadence:
    """Evaluations that read no more rows than their steps have paid for, and at the first what one step pays for.

    What was left over counts for the next one, until an evaluation has read all rows. Evaluations that could not even
    read `ROWS` are left out, beside the first and the last.

    >>> steps, rows = within_allowance(np.array([0, 1, 2, 3, 4, 8]), 100.0, 300)
    >>> rows.tolist()
    [64, 64, 128, 64, 128, 0]

    Args:
      steps: ascending.
      rows_per_step: held-out rows that each step pays for, above 0.
      num_rows: how many there are.
    """
    least, spent, rows = min(ROWS, num_rows), 0.0, []
    for step in steps.tolist():
        allowed = rows_per_step * max(step, 1) - spent
        whole = num_rows if allowed >= num_rows else int(allowed // least) * least
        rows.append(max(whole, least if step in (steps[0], steps[-1]) else 0))
        spent = rows_per_step * step if step == 0 or whole == num_rows else spent + whole
    kept = np.array(rows, np.int32)
    return Cadence(steps[kept > 0], np.where(kept == num_rows, 0, kept)[kept > 0])


def of_all_rows(steps: Int[np.ndarray, " evals"], pause: float) -> Cadence:
    """Evaluations that each read all rows, `pause` steps apart or as densely as `steps` are.

    They are never further apart than `SPARSEST` of the steps, whatever they cost: where a goal is reached would be
    read off too few.

    >>> of_all_rows(np.array([5, 6, 7, 8, 9, 10, 11, 12, 22, 23]), 10.0).steps.tolist()
    [5, 6, 7, 8, 10, 12, 22, 23]

    Args:
      steps: ascending.
      pause: steps that pay for an evaluation, above 0.
    """
    first, *later = steps.tolist()
    kept = [first]
    for step, following in zip(later, [*later[1:], math.inf], strict=True):
        if step >= kept[-1] + pause or following > (1 + SPARSEST) * kept[-1]:
            kept.append(step)
    return Cadence(np.array(kept, np.int32), np.zeros(len(kept), np.int32))
