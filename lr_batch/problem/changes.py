"""Hyperparameters that change within a trial, at stated parts of its budget, as population based training changes them.

A setting says it all: `learning_rate` holds up to the part `change.1` of the budget, `learning_rate.1` from there up to
`change.2`, and so on. All of them are traced: one program serves all settings, batch sizes and budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from lr_batch.design import Searched, step_of, with_ranges
from optim.range import Range

CHANGE = "change"
SHARE = Range(low=0.0, high=1.0, low_open=True, high_open=True)
Steps = Callable[[Mapping[str, float]], Mapping[str, float]]


def later(name: str, piece: int) -> str:
    """The name of a hyperparameter after so many changes.

    >>> later("learning_rate", 0), later("learning_rate", 2)
    ('learning_rate', 'learning_rate.2')
    """
    return f"{name}.{piece}" if piece else name


class Changes(NamedTuple):
    """`names` of the hyperparameters that change, `number` of times."""

    names: tuple[str, ...]
    number: int

    @property
    def starts(self) -> tuple[str, ...]:
        """Names of the parts of the budget at which pieces begin, but for the first."""
        return tuple(later(CHANGE, piece) for piece in range(1, self.number + 1))

    @property
    def further(self) -> tuple[str, ...]:
        """All names that belong to changes."""
        pieces = range(1, self.number + 1)
        return (*(later(name, piece) for name in self.names for piece in pieces), *self.starts)

    def piece(self, setting: Mapping[str, Any], number: int) -> dict[str, Any]:
        """The hyperparameters after so many changes, by their plain names."""
        now = {name: setting[later(name, number)] for name in self.names}
        return {name: now.get(name, value) for name, value in setting.items() if name not in self.further}

    def setting(self, pieces: Sequence[Mapping[str, float]], shares: Sequence[float]) -> dict[str, float]:
        """One setting of the pieces; the first holds from the start, the others from `shares` of the budget on."""
        values = {later(name, i): piece[name] for i, piece in enumerate(pieces) for name in self.names}
        return values | dict(zip(self.starts, shares, strict=True))

    def in_steps(self, setting: Mapping[str, float], budget: int, convert: Steps) -> dict[str, float]:
        """The setting with changes in steps, and what `convert` makes of the lengths of each piece."""
        steps = dict(convert(self.piece(setting, 0)))
        for number in range(1, self.number + 1):
            piece = convert(self.piece(setting, number))
            steps |= {later(name, number): piece[name] for name in self.names}
        return steps | {name: float(step_of(setting[name], budget)) for name in self.starts}

    def at(self, hparams: Mapping[str, Any], step: Any) -> dict[str, Any]:
        """The hyperparameters of a step, by their plain names; `hparams` with changes in steps, traced or not."""
        now = self.piece(hparams, 0)
        for number, start in enumerate(self.starts, 1):
            begun = step >= hparams[start]
            now |= {name: jnp.where(begun, hparams[later(name, number)], now[name]) for name in self.names}
        return now


def changes_of(space: Mapping[str, Any]) -> Changes | None:
    """The changes that the names of a space say; None where settings stay."""
    number = 0
    while later(CHANGE, number + 1) in space:
        number += 1
    names = tuple(name for name in space if number and later(name, 1) in space and name != CHANGE)
    return Changes(names, number) if number else None


def plain_space(space: Mapping[str, Any]) -> dict[str, Any]:
    """The space without the names that belong to changes."""
    changes = changes_of(space)
    return {name: values for name, values in space.items() if not changes or name not in changes.further}


def with_changes(
    space: Mapping[str, tuple[float, ...]], searched: Searched | None
) -> dict[str, tuple[float, ...]]:
    """The space with the names and parts of the budget of the changes that a search makes."""
    if not searched or not searched.changes:
        return dict(space)
    changes = Changes(tuple(searched.axes), len(searched.changes))
    pieces = range(1, changes.number + 1)
    further = {later(name, piece): space[name] for name in changes.names for piece in pieces}
    return {
        **space,
        **further,
        **{name: (share,) for name, share in zip(changes.starts, searched.changes, strict=True)},
    }


def searched_space(space: Any, searched: Searched) -> Any:
    """The space beside a search with the ends of its ranges, as `with_ranges`; names of its changes are made again."""
    own = plain_space(space) if searched.changes and isinstance(space, Mapping) else space
    return with_ranges(own, searched.axes)


def pieces_of(changes: Changes | None, space: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the space is in each piece, by plain names."""
    return [changes.piece(space, number) for number in range(changes.number + 1)] if changes else [space]


def in_steps(
    settings: Iterable[Mapping[str, float]], changes: Changes | None, budget: int, convert: Steps
) -> list[Mapping[str, float]]:
    """Settings with changes in steps, and their lengths as `convert` makes them."""
    return [changes.in_steps(one, budget, convert) if changes else convert(one) for one in settings]


def check_changes(changes: Changes, space: Mapping[str, Sequence[float]]) -> None:
    """Raises ValueError, in one line, where a part of the budget is none, or they do not ascend."""
    shares = [share for name in changes.starts for share in space[name]]
    for share in shares:
        SHARE.check("study", CHANGE, share)
    if len(shares) != changes.number or sorted(set(shares)) != shares:
        raise ValueError(f"study: changes must be at ascending parts of the budget, one each, got {shares}")
    if not changes.names:
        raise ValueError(
            f"study: {changes.starts[0]} in the space, but nothing that changes, such as {later('momentum', 1)}"
        )


def at_evaluations(
    settings: Sequence[Mapping[str, float]], changes: Changes | None, evaluations: np.ndarray
) -> Sequence[Mapping[str, float]]:
    """Settings whose changes, in steps, wait for the next evaluation: there it is known what they follow."""
    if not changes:
        return settings
    wait = lambda step: float(evaluations[min(np.searchsorted(evaluations, step), len(evaluations) - 1)])
    return [{**one, **{name: wait(one[name]) for name in changes.starts}} for one in settings]
