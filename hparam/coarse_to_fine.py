"""Grid search that zooms in."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from hparam.grid import level_counts
from hparam.search import FRESH, Key, Search, Segment, State, Wanted, make_search
from hparam.space import Space, rows
from hparam.untried import sobol, untried_segments
from optim.arguments import explain_arguments

Setting = tuple[float, ...]


class Box(NamedTuple):
    """Part of the unit cube that a stage's grid covers."""

    low: Float[np.ndarray, " dims"]
    high: Float[np.ndarray, " dims"]


@explain_arguments
def coarse_to_fine(space: Space, levels: int | Mapping[str, int] = 5, tolerance: float = 0.05) -> Search:
    """A grid, then a finer one around its best cell, until the optimum is known to `tolerance`.

    The box of the next stage reaches one spacing to each side of the best cell,
    so its width shrinks by 2 / (levels - 1) a stage, and it moves on where the
    best cell is at its edge. Cells that two stages share are not trained twice.
    Lanes beside the cells of a stage get quasi-random points of its box; once
    the box is small enough, its cells get further seeds.

    Args:
      levels: points per dimension, >= 4 (fewer would not shrink the box), one
        number or name -> number. A choice always has all its values.
      tolerance: width in (0, 1) of the last box, as a fraction of each range on
        the dimension's own scale (a log-scaled range of four decades: 0.05 is a
        factor of 1.6).
    """
    counts = level_counts(space, levels)
    if min(counts.values()) < 4:
        raise ValueError(f"coarse_to_fine: levels must be >= 4, got {min(counts.values())}")
    if not 0 < tolerance < 1:
        raise ValueError(f"coarse_to_fine: tolerance must be in (0, 1), got {tolerance:g}")

    def plan(key, state, n):
        return _plan(space, counts, tolerance, key, state, n)

    return make_search(space, plan)


def _plan(space: Space, counts: dict[str, int], tolerance: float, key: Key, state: State, n: int) -> Wanted:
    # Only first seeds steer, so that what is asked later never moves an earlier stage.
    first = [s for s in state.segments.values() if s.repeat == 0 and s.continues == FRESH]
    losses = {space.hash(s.setting): s.known_loss for s in first if s.told}
    box = Box(np.zeros(len(space)), np.ones(len(space)))
    stage = 0
    while True:
        cells = _cells(space, counts, box)
        known = [losses[hashed] for hashed in map(space.hash, cells) if hashed in losses]
        note = f"stage {stage}: {_interval(space, box)}"
        if len(known) < len(cells):
            points = itertools.chain(cells, _filler(space, key, box, stage, n))
            return Wanted(untried_segments(space, key, state, n, first=points, label=stage), (note,))
        if not np.isfinite(min(known)):
            note += "; every cell diverged: quasi-random points over the whole space"
            return Wanted(untried_segments(space, key, state, n, label=stage), (note,))
        if _small(space, box, tolerance):
            return Wanted(_further_seeds(space, state, cells, known, n, stage), (note + "; done",))
        box = _zoom(space, counts, box, cells[int(np.argmin(known))])
        stage += 1


def _cells(space: Space, counts: dict[str, int], box: Box) -> list[Setting]:
    axes = [
        low + (high - low) * np.linspace(0, 1, counts[name]) if d.ordered else d.levels(counts[name])
        for (name, d), low, high in zip(space.dimensions.items(), *box, strict=True)
    ]
    return space.product(axes)


def _zoom(space: Space, counts: dict[str, int], box: Box, best: Setting) -> Box:
    """One spacing to each side of `best`, within the cube."""
    centre = space.points([best])[0]
    spacing = (box.high - box.low) / (np.array(list(counts.values())) - 1)
    return Box(np.clip(centre - spacing, 0, 1), np.clip(centre + spacing, 0, 1))


def _small(space: Space, box: Box, tolerance: float) -> bool:
    """Whether every ordered dimension is narrowed down, a whole number to its cell."""
    dimensions = space.dimensions.values()
    limits = [max(tolerance, 2 / (d.cells or np.inf)) if d.ordered else np.inf for d in dimensions]
    return bool(np.all(box.high - box.low <= np.array(limits)))


def _filler(space: Space, key: Key, box: Box, stage: int, n: int) -> list[Setting]:
    points = sobol(jax.random.fold_in(key, stage), len(space), 0, 4 * n)
    return rows(space.from_unit(box.low + (box.high - box.low) * points))


def _further_seeds(space: Space, state: State, cells: list[Setting], losses: list[float], n: int, stage: int):
    """The best cells again, each with its next seed; half of the cells, for the rest is known to be worse."""
    best = [cells[i] for i in np.argsort(losses, kind="stable")[: (len(cells) + 1) // 2]]
    taken = {name: 0 for name in map(space.hash, best)}
    for segment in state.segments.values():
        if space.hash(segment.setting) in taken:
            taken[space.hash(segment.setting)] += 1
    segments = []
    for cell in itertools.islice(itertools.cycle(best), n):
        segments.append(Segment(cell, repeat=taken[space.hash(cell)], label=stage))
        taken[space.hash(cell)] += 1
    return segments


def _interval(space: Space, box: Box) -> str:
    """The box in the units of the dimensions."""
    ends = {
        name: dimension.from_unit(np.array([low, high]))
        for (name, dimension), low, high in zip(space.dimensions.items(), *box, strict=True)
        if dimension.ordered
    }
    return ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in ends.items())
