"""Whether a space is one of an optimizer, a regularizer and a schedule together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optim
import reg
from lr_batch.fields import check_settings
from lr_batch.problem.scheduled import Schedule, check_schedule


def check_space(
    owner: str,
    optimizer: optim.Optimizer,
    regularizer: reg.Regularizer | None,
    schedule: Schedule | None,
    space: Mapping[str, Sequence[float]],
    steps: Mapping[int, int],
) -> None:
    """Refuses names that nobody knows or two know, and values out of range.

    Args:
      owner: names optimizer and schedule in messages.
      optimizer, regularizer, schedule: whose hyperparameters the names are.
      space: values of each name.
      steps: of a trial, at each batch size.

    Raises:
      ValueError: in one line.
    """
    own = regularizer.hparams if regularizer else {}
    rest = {name: values for name, values in space.items() if name not in own}
    ranges = optimizer.hparams
    if schedule:
        both = sorted({*ranges, *own} & set(schedule.ranges))
        if both:
            raise ValueError(
                f"study: {both[0]} is a parameter of {owner} twice; take an optimizer without it"
            )
        ranges = {**ranges, **schedule.ranges}
    check_settings(owner, ranges, rest, further=optimizer.further)
    if schedule:
        check_schedule(schedule, space, steps)
    if regularizer:
        strengths = {name: values for name, values in space.items() if name in own}
        check_settings(regularizer.name, own, strengths)
