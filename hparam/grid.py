"""Grid search."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Mapping

from hparam.search import Search, Segment, Wanted, make_search
from hparam.space import Space
from optim.arguments import explain_arguments

MOST = 1_000_000  # settings, as many as trials of a search
LEVELS = 8  # points per dimension, where their number is free


@explain_arguments
def grid(space: Space, levels: int | Mapping[str, int] = LEVELS) -> Search:
    """Every combination of evenly spaced levels, row by row; then all of them again with the next seed.

    Args:
      levels: points per dimension, >= 1, one number or name -> number. Spacing
        is even on the dimension's own scale. A choice always has all its values,
        an integer at most as many as there are.
    """
    cells = grid_cells(space, levels)
    hashes = [space.hash(cell) for cell in cells]

    def plan(key, state, n):
        del key  # A grid leaves nothing to chance.
        repeats = Counter(space.hash(segment.setting) for segment in state.segments.values())
        queue = [(repeats[name], i) for i, name in enumerate(hashes)]
        heapq.heapify(queue)
        # The least repeated cell goes first, and behind all others once it is taken.
        taken = [heapq.heapreplace(queue, (queue[0][0] + 1, queue[0][1])) for _ in range(n)]
        return Wanted([Segment(cells[i], repeat=repeat) for repeat, i in taken])

    return make_search(space, plan)


def grid_cells(space: Space, levels: int | Mapping[str, int]) -> list[tuple[float, ...]]:
    """Every setting of a grid."""
    counts = level_counts(space, levels)
    return space.product([space.dimensions[name].levels(num) for name, num in counts.items()])


def affordable_levels(space: Space, trials: int) -> int:
    """Most points per dimension, at most `LEVELS`, of which the whole grid fits into so many trials.

    Raises:
      ValueError: where not even the ends of all ranges do.

    >>> from hparam.dimension import log
    >>> affordable_levels(Space({"learning_rate": log(1e-3, 1), "eps": log(1e-8, 1)}), 24)
    4
    """
    for levels in range(LEVELS, 1, -1):
        if (
            _product(space, dict.fromkeys(space.names, levels)) <= MOST
            and len(grid_cells(space, levels)) <= trials
        ):
            return levels
    ends = _product(space, dict.fromkeys(space.names, 2))
    raise ValueError(
        f"grid: the ends of all ranges are {ends:,} settings, more than {trials:,} trials; ask for "
        "more trials, search fewer hyperparameters, or take a search that samples, such as quasi_random"
    )


def level_counts(space: Space, levels: int | Mapping[str, int]) -> dict[str, int]:
    """Points per dimension, checked."""
    counts = dict.fromkeys(space.names, levels) if isinstance(levels, int) else dict(levels)
    if set(counts) != set(space.names):
        raise ValueError(f"grid: levels must name {', '.join(space.names)}, got {', '.join(counts)}")
    for name, num in counts.items():
        if num < 1:
            raise ValueError(f"grid: levels of {name} must be >= 1, got {num}")
    if (total := _product(space, counts)) > MOST:
        raise ValueError(f"grid: levels make {total:,} settings, more than {MOST:,}: take fewer of them")
    return {name: counts[name] for name in space.names}


def _product(space: Space, counts: Mapping[str, int]) -> int:
    """Settings of a grid, none of which is made."""
    return math.prod(min(num, space.dimensions[name].cells or num) for name, num in counts.items())
