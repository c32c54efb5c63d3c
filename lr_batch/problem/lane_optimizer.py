"""What a lane is built from: an optimizer with whatever stands around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import optim
import reg
from lr_batch.problem.changes import Changes
from lr_batch.problem.regularized import RegularizedOptimizer
from lr_batch.problem.scheduled import Schedule, ScheduledOptimizer


class ChangingOptimizer(NamedTuple):
    """An optimizer, with regularizer and schedule around it or not, whose hyperparameters change within a trial."""

    optimizer: optim.Optimizer | RegularizedOptimizer | ScheduledOptimizer
    changes: Changes

    def at(self, hparams: Mapping[str, Any], step: Any) -> dict[str, Any]:
        """What the optimizer's factory receives at a step."""
        now = self.changes.at(hparams, step)
        return self.optimizer.at(now, step) if isinstance(self.optimizer, ScheduledOptimizer) else now


LaneOptimizer = optim.Optimizer | RegularizedOptimizer | ScheduledOptimizer | ChangingOptimizer


def lane_optimizer(
    optimizer: optim.Optimizer,
    regularizer: reg.Regularizer | None,
    schedule: Schedule | None,
    changes: Changes | None,
) -> LaneOptimizer:
    """The optimizer, with regularizer, schedule and changes around it if there are any."""
    inner = RegularizedOptimizer(optimizer, regularizer) if regularizer else optimizer
    inner = ScheduledOptimizer(inner, schedule) if schedule else inner
    return ChangingOptimizer(inner, changes) if changes else inner
