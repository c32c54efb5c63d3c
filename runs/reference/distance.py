"""How far a measured curve lies from a published one, in octaves: factors of two of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lr_batch import Optimum
from runs.reference.published import Published

# Where a published curve is moved onto a measured one: octaves of batch size to either side, in quarters.
MOVES = np.arange(-20.0, 20.25, 0.25)
MIN_POINTS = 3  # two fix the move alone


class Distance(NamedTuple):
    """Measured over published steps, at the published batch sizes within the measured ones.

    Attributes:
      batch_sizes: published ones, moved by `batch_octaves`.
      published: their steps, moved by `steps_octaves`.
      octaves: log2 of measured over published steps, both as moved.
      median: of the absolute values of `octaves`.
      batch_octaves, steps_octaves: by how much the published curve was moved, 0 where it was not: another network on
        other data has another critical batch size and another number of fewest steps, and only the shape is compared.
    """

    batch_sizes: Float[np.ndarray, " n"]
    published: Float[np.ndarray, " n"]
    octaves: Float[np.ndarray, " n"]
    median: float
    batch_octaves: float = 0.0
    steps_octaves: float = 0.0


def distance(published: Published, optima: Sequence[Optimum], *, shape_only: bool) -> Distance:
    """The distance from `published` of the steps at the best setting of every batch size.

    Args:
      published: steps by batch size.
      optima: of the study; those that did not reach the goal are left out. Between two of them log steps are linear in
        log batch size.
      shape_only: move the published curve to where it fits best.

    Raises:
      ValueError: where fewer than three published batch sizes lie within the measured ones.
    """
    reached = [(row.batch_size, row.steps) for row in optima if row.steps is not None]
    if len(reached) < MIN_POINTS:
        raise ValueError(
            f"report: a reference needs {MIN_POINTS} batch sizes that reached the goal, got {len(reached)}"
        )
    log_b, log_steps = np.log2(np.array(reached, float)).T
    known = np.log2(np.array(sorted(published.steps.items()), float)).T
    batch_octaves, steps_octaves = _best_move(known, log_b, log_steps) if shape_only else (0.0, 0.0)
    at, steps = known[0] + batch_octaves, known[1] + steps_octaves
    inside = _within(at, log_b)
    if inside.sum() < MIN_POINTS:
        raise ValueError(
            f"report: {published.source} has {inside.sum()} batch sizes from {min(reached)[0]:,} to "
            f"{max(reached)[0]:,}, fewer than {MIN_POINTS}; measure more of {_sizes(published)}"
        )
    octaves = np.interp(at[inside], log_b, log_steps) - steps[inside]
    return Distance(
        2.0 ** at[inside],
        2.0 ** steps[inside],
        octaves,
        float(np.median(np.abs(octaves))),
        batch_octaves,
        steps_octaves,
    )


def _sizes(published: Published) -> str:
    return f"{min(published.steps):,} to {max(published.steps):,}"


def _within(at: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    slack = 1e-9  # of a size that both have
    return (at >= log_b.min() - slack) & (at <= log_b.max() + slack)


def _best_move(known: np.ndarray, log_b: np.ndarray, log_steps: np.ndarray) -> tuple[float, float]:
    """(octaves of batch size, octaves of steps) after which most of the published curve lies close to the measured one.

    Steps follow from the batch size: the median gap is taken out. Of the batch sizes at least as many must lie
    within the measured ones as with any move, less one, since few points fit anywhere.
    """

    def gaps(move: float) -> np.ndarray:
        inside = _within(known[0] + move, log_b)
        return np.interp(known[0][inside] + move, log_b, log_steps) - known[1][inside]

    most = max(len(gaps(move)) for move in MOVES)
    allowed = [move for move in MOVES if len(gaps(move)) >= max(most - 1, MIN_POINTS)]
    if not allowed:
        return 0.0, 0.0
    spread = [float(np.mean(np.abs(gaps(move) - np.median(gaps(move))))) for move in allowed]
    best = float(allowed[int(np.argmin(spread))])
    return best, float(np.median(gaps(best)))
