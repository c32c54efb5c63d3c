"""Work and timings that tests of the benchmark share."""

from __future__ import annotations

import numpy as np

from lr_batch.engine import Cadence
from runs.bench import loads
from runs.bench.trial_loop import Timing
from runs.bench.work import Work

WORK = Work(batch_sizes="8,64", learning_rates="0.05,0.3", seeds=1, budget=60, goal="loss<1.2")


def all_rows(*steps: int) -> loads.Evaluations:
    """Evaluations at these steps, each of the one held-out row: the rows read are counted evaluations."""
    return loads.Evaluations({4: Cadence(np.array(steps), np.zeros(len(steps), int))}, 1)


def timing(size: int, *, step: float, evaluation: float = 0.5, steps: int = 10, rows: int = 4) -> Timing:
    return Timing(0, size, steps, rows, 1.0, step * steps, evaluation * rows, "time", None)
