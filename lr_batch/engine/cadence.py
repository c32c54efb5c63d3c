"""At which steps a trial is evaluated."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from lr_batch.problem.reaching import AVERAGE, RULES
from lr_batch.study import Study


def cadence_of(study: Study) -> Int[np.ndarray, " evals"]:
    """Evaluation steps of the longest trials of a study."""
    return evaluation_steps(study.max_steps, study.evaluation_growth)


def cadence_at(study: Study, batch_size: int) -> tuple[Int[np.ndarray, " evals"], int]:
    """Evaluation steps at one batch size, padded to the length of `cadence_of(study)`, and how many of them count."""
    own, longest = evaluation_steps(study.steps_at(batch_size), study.evaluation_growth), cadence_of(study)
    return np.pad(own, (0, len(longest) - len(own)), mode="edge"), len(own)


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
