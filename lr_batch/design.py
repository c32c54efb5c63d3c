"""Settings that a search proposes instead of a grid, round after round, from what came back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Num

from optim.arguments import type_of
from optim.functions import check_functions

Settings = Sequence[Mapping[str, float]]


class Asked(NamedTuple):
    """A setting that is to be trained, for the whole budget or for so many steps as a search wants to judge it."""

    setting: Mapping[str, float]
    steps: int | None = None


# What is asked for at each batch size. What comes back: a loss of each, infinite where it diverged.
Rounds = Generator[Mapping[int, Sequence[Asked]], Mapping[int, Float[np.ndarray, " asked"]], None]

CHOICE = "choice"
WARPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda x: x,
    "int": lambda x: x,
    "log": np.log,
    "log1m": lambda x: -np.log1p(-x),
}


class Axis(NamedTuple):
    """The range of one hyperparameter: `scale` is a name of `WARPS` with both ends as `values`; or `CHOICE`, whose
    `values` are all that there are, ascending."""

    scale: str
    values: tuple[float, ...]

    def to_unit(self, x: Num[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """From 0 at the first value to 1 at the last, evenly on the scale; of a choice by its place.

        >>> Axis("log", (0.01, 1.0)).to_unit(np.array([0.01, 0.1])).round(6).tolist()
        [0.0, 0.5]
        """
        if self.scale == CHOICE:
            return np.searchsorted(self.values, x) / (len(self.values) - 1)
        low, high = WARPS[self.scale](np.array(self.values, float))
        return (WARPS[self.scale](np.asarray(x, float)) - low) / (high - low)

    def from_unit(self, u: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The inverse of `to_unit`; between two values of a choice the nearer one."""
        u = np.clip(u, 0.0, 1.0)
        if self.scale == CHOICE:
            return np.array(self.values)[np.rint(u * (len(self.values) - 1)).astype(int)]
        low, high = self.values
        ends = WARPS[self.scale](np.array(self.values, float))
        warped = ends[0] + u * (ends[1] - ends[0])
        x = {"log": np.exp, "log1m": lambda w: -np.expm1(-w)}.get(self.scale, lambda w: w)(warped)
        return np.clip(np.rint(x) if self.scale == "int" else x, low, high)


class Searched(NamedTuple):
    """What was searched, and how.

    Attributes:
      search: name of the strategy.
      axes: name -> range, of the hyperparameters that were searched.
      trials: feasible settings that are wanted at each batch size; one that diverged with half of the seeds or more is
        not feasible.
      details: what else decides which settings are proposed, JSON-like: the seed of the draws, options.
      changes: parts of the budget at which a search changes what it searched while a trial is trained, ascending; see
        `lr_batch.problem.changes`.
    """

    search: str
    axes: Mapping[str, Axis]
    trials: int
    details: Mapping[str, Any] = {}
    changes: tuple[float, ...] = ()

    @property
    def described(self) -> dict[str, Any]:
        """JSON-like; `read` is the inverse. The number of trials stands apart: asked for more, a search goes on."""
        axes = {name: [axis.scale, *axis.values] for name, axis in self.axes.items()}
        changes = {"changes": list(self.changes)} if self.changes else {}
        return {"name": self.search, "axes": axes, **changes, **self.details}

    def exchanges(self, budget: int) -> dict[int, int]:
        """The steps of a budget at which settings change, ascending, each with the number of changes made then."""
        steps = {step_of(share, budget): number for number, share in enumerate(self.changes, 1)}
        return {step: number for step, number in steps.items() if 0 < step < budget}

    @classmethod
    def read(cls, described: Mapping[str, Any], trials: int) -> Searched:
        own = ("name", "axes", "changes")
        details = {name: value for name, value in described.items() if name not in own}
        axes = {name: Axis(scale, tuple(values)) for name, (scale, *values) in described["axes"].items()}
        return cls(described["name"], axes, trials, details, tuple(described.get("changes", ())))


def step_of(share: float, budget: int) -> int:
    """The first step of what begins at a part of the budget."""
    return round(share * budget)


class Design(NamedTuple):
    """Which settings a study trains where they are not a grid; `hparam.search_design` makes one.

    Attributes:
      searched: the ranges, and how many settings of them.
      rounds: `batch size -> steps of its budget` to `Rounds`, without memory of earlier calls: a study that is run
        again asks for the same settings. It yields what a round asks for at each batch size, and is sent the losses.
    """

    searched: Searched
    rounds: Callable[[Mapping[int, int]], Rounds]

    def first(self, batch_size: int, steps: int) -> Settings:
        """The settings of the first round at one batch size, whose budget is so many steps."""
        return [one.setting for one in next(self.rounds({batch_size: steps}))[batch_size]]


def check_design(design: Any) -> Design | None:
    """Refuses what is no design."""
    if not isinstance(design, Design | None):
        raise ValueError(f"study: design must be what hparam.search_design returns, got {type_of(design)}")
    if design is not None:
        check_functions("study: design", Design, design._asdict())
    return design


def with_ranges(space: Any, axes: Mapping[str, Axis]) -> Any:
    """The space with the values that stand for searched ranges, beside one value of each further name.

    Raises:
      ValueError: in one line: a name is searched and fixed, or neither.
    """
    if not isinstance(space, Mapping):
        return space  # which is refused with the rest of the space
    for name, values in space.items():
        if not hasattr(values, "__len__"):
            return space
        if name in axes and len(values) == 1:
            raise ValueError(f"study: {name} is searched and fixed at the same time")
        if name not in axes and len(values) != 1:
            raise ValueError(
                f"study: a search proposes the settings, so {name} takes one value beside it, got {len(values)}; "
                f"search it too, as in {name}=choice(...)"
            )
    fixed = {name: values for name, values in space.items() if name not in axes}
    return {**{name: axis.values for name, axis in axes.items()}, **fixed}
