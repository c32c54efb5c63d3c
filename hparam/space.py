"""The space of hyperparameters that a search looks through."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from hparam.config_hash import config_hash
from hparam.dimension import Dimension
from optim.arguments import explain_arguments
from optim.names import unknown

# Beyond this many cells a finite space is treated as a continuum: nobody exhausts it.
MAX_CELLS = 100_000

Settings = dict[str, np.ndarray]  # name -> [n], one entry per trial


@explain_arguments
@dataclasses.dataclass(frozen=True)
class Space:
    """Named dimensions, in order; axis i of the unit cube is the i-th of them.

    A dimension with a condition counts only where an earlier discrete dimension
    has the stated value. Elsewhere it rests at the first value of its range, so
    that lanes always hold a number and equal trials have equal settings.

    >>> from hparam.dimension import choice, log
    >>> space = Space({"lr": log(1e-4, 1), "act": choice("relu", "tanh")})
    >>> {name: column.tolist() for name, column in space.from_unit(np.array([[1.0, 0.9]])).items()}
    {'lr': [1.0], 'act': [1.0]}
    """

    dimensions: Mapping[str, Dimension]

    def __post_init__(self):
        if not self.dimensions:
            raise ValueError("Space: needs at least one dimension, got none")
        for name, dimension in self.dimensions.items():
            if dimension.condition is not None:
                self._check_condition(name, *dimension.condition)

    def _check_condition(self, name: str, parent: str, value: float) -> None:
        names = list(self.dimensions)
        if parent not in names[: names.index(name)]:
            raise ValueError(f"Space: {name} depends on {parent!r}, which is not a dimension before it")
        if self.dimensions[parent].cells is None:
            raise ValueError(f"Space: {name} depends on {parent!r}, which must be int or choice")
        if not self.dimensions[parent].contains(value):
            raise ValueError(f"Space: {name} depends on {parent}={value:g}, which {parent!r} never is")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.dimensions)

    def __len__(self) -> int:
        return len(self.dimensions)

    def __str__(self) -> str:
        return " ".join(f"{name}={dimension.text}" for name, dimension in self.dimensions.items())

    def from_unit(self, points: Float[np.ndarray, "n dims"]) -> Settings:
        """Values at points of the unit cube, dimensions without effect at rest."""
        columns = {
            name: np.asarray(dimension.from_unit(points[:, i]), dtype=float)
            for i, (name, dimension) in enumerate(self.dimensions.items())
        }
        active = self.active(columns)
        at_rest = {name: dimension.from_unit(np.zeros(1)) for name, dimension in self.dimensions.items()}
        return {name: np.where(active[name], column, at_rest[name]) for name, column in columns.items()}

    def to_unit(self, settings: Mapping[str, np.ndarray]) -> Float[np.ndarray, "n dims"]:
        """Points of the unit cube; `from_unit` of them gives `settings` back."""
        columns = [dimension.to_unit(settings[name]) for name, dimension in self.dimensions.items()]
        return np.stack(columns, axis=1)

    def points(self, settings: list[tuple[float, ...]]) -> Float[np.ndarray, "n dims"]:
        """`to_unit` of values in the order of the dimensions."""
        values = np.array(settings, dtype=float).reshape(len(settings), len(self))
        return self.to_unit(dict(zip(self.names, values.T, strict=True)))

    def snap(self, points: Float[np.ndarray, "n dims"]) -> Float[np.ndarray, "n dims"]:
        """The points that settings stand for: discrete values mid-cell, no effect at rest."""
        return self.to_unit(self.from_unit(points))

    def active(self, settings: Mapping[str, np.ndarray]) -> dict[str, Bool[np.ndarray, " n"]]:
        """Whether each dimension has an effect in each setting."""
        counts: dict[str, np.ndarray] = {}
        for name, dimension in self.dimensions.items():
            counts[name] = np.ones(len(settings[name]), dtype=bool)
            if dimension.condition is not None:
                parent, value = dimension.condition
                counts[name] = counts[parent] & (settings[parent] == value)
        return counts

    def check(self, settings: Mapping[str, np.ndarray]) -> None:
        """Raises one line that names what does not belong to this space."""
        for name in settings:
            if name not in self.dimensions:
                raise ValueError(f"Space: {unknown('dimension', name, self.names)}")
        for name, dimension in self.dimensions.items():
            if name not in settings:
                raise ValueError(f"Space: {name} is missing")
            for value in np.asarray(settings[name]).tolist():
                if not dimension.contains(value):
                    raise ValueError(f"Space: {name} must be in {dimension.text}, got {value:g}")

    def cells(self) -> list[tuple[float, ...]] | None:
        """Every setting of a finite space, each once; None for a continuum or above `MAX_CELLS`."""
        counts = [d.cells for d in self.dimensions.values() if d.cells is not None]
        if len(counts) < len(self) or math.prod(counts) > MAX_CELLS:
            return None
        return self.product([d.levels(n) for d, n in zip(self.dimensions.values(), counts, strict=True)])

    def product(self, levels: list[Float[np.ndarray, " _"]]) -> list[tuple[float, ...]]:
        """Distinct settings of the grid of `levels`, points of each axis of the unit cube."""
        points = np.array(list(itertools.product(*levels)))
        distinct = {self.hash(setting): setting for setting in rows(self.from_unit(points))}
        return list(distinct.values())

    def hash(self, setting: tuple[float, ...]) -> str:
        """`config_hash` of values in the order of the dimensions."""
        return config_hash(dict(zip(self.names, setting, strict=True)))

    def describe(self, setting: Mapping[str, float]) -> dict[str, str]:
        """What a person reads: texts of choices, and no dimension without effect."""
        counts = self.active({name: np.array([value]) for name, value in setting.items()})
        return {name: self.dimensions[name].label(setting[name]) for name in self.names if counts[name][0]}


def rows(settings: Mapping[str, np.ndarray]) -> list[tuple[float, ...]]:
    """Columns turned into one tuple per trial."""
    return list(zip(*(column.tolist() for column in settings.values()), strict=True))
