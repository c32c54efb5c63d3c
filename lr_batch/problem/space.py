"""Whether a space is one of an optimizer, a regularizer and a schedule together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optim
import reg
from lr_batch.fields import check_settings
from lr_batch.problem.changes import changes_of, check_changes, pieces_of, plain_space
from lr_batch.problem.scheduled import PARAMETERS, Schedule, check_schedule
from optim.names import listed, unknown


def check_names(
    optimizer: optim.Optimizer,
    regularizer: reg.Regularizer | None,
    schedule: Schedule | None,
    space: Any,
) -> None:
    """Refuses names that nobody knows or two know, before their values are read; the arguments are those of
    `check_space`."""
    own = regularizer.hparams if regularizer else {}
    both = sorted({*optimizer.hparams, *own} & {*(schedule.ranges if schedule else ())})
    if both:
        raise ValueError(
            f"study: {both[0]} is a parameter of {_owner(optimizer, schedule)} twice; take an optimizer without it"
        )
    if optimizer.further or not isinstance(space, Mapping):  # which is refused with its values
        return
    known = {**optimizer.hparams, **(schedule.ranges if schedule else {})}
    for name in plain_space(space):
        if name not in known and name not in own:
            raise ValueError(
                unknown(f"hyperparameter of {_owner(optimizer, schedule)}", name, known) + _belongs_to(name)
            )


def _owner(optimizer: optim.Optimizer, schedule: Schedule | None) -> str:
    """Whose the hyperparameters are, in messages."""
    return f"{optimizer.name}, {schedule.name} schedule" if schedule else optimizer.name


def _belongs_to(name: str) -> str:
    """Of which schedules or regularizers a name is.

    >>> _belongs_to("timescale"), _belongs_to("dropout"), _belongs_to("x")
    ('; timescale belongs to the schedule inverse_sqrt', '; dropout belongs to the regularizer dropout', '')
    """
    for kind, owners in (
        ("schedule", [row for row, parameters in PARAMETERS.items() if name in parameters]),
        ("regularizer", [row for row, one in reg.REGULARIZERS.items() if name in one.hparams]),
    ):
        if owners:
            return f"; {name} belongs to the {listed(kind, owners)}"
    return ""


def check_space(
    optimizer: optim.Optimizer,
    regularizer: reg.Regularizer | None,
    schedule: Schedule | None,
    space: Mapping[str, Sequence[float]],
    steps: Mapping[int, int],
) -> None:
    """Refuses values out of range.

    Args:
      optimizer, regularizer, schedule: whose hyperparameters the names are.
      space: values of each name.
      steps: of a trial, at each batch size.

    Raises:
      ValueError: in one line.
    """
    changes = changes_of(space)
    for piece in pieces_of(changes, space):
        _check_piece(optimizer, regularizer, schedule, piece, steps)
    if changes:
        check_changes(changes, space)


def _check_piece(
    optimizer: optim.Optimizer,
    regularizer: reg.Regularizer | None,
    schedule: Schedule | None,
    space: Mapping[str, Sequence[float]],
    steps: Mapping[int, int],
) -> None:
    own = regularizer.hparams if regularizer else {}
    rest = {name: values for name, values in space.items() if name not in own}
    ranges = {**optimizer.hparams, **(schedule.ranges if schedule else {})}
    check_settings(_owner(optimizer, schedule), ranges, rest)
    if schedule:
        check_schedule(schedule, space, steps)
    if regularizer:
        strengths = {name: values for name, values in space.items() if name in own}
        check_settings(regularizer.name, own, strengths)
