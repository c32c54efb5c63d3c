"""Where the best rate lies on the edge of the grid, the grid grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lr_batch.analysis.rate_plane import RatePlane, best_plane
from lr_batch.result import DIVERGED, Result

RATES = 4  # added at a time: about a decade of the default grid
ROUNDS = 3


def rates_to_add(result: Result) -> dict[int, tuple[float, ...]]:
    """New learning rates for each batch size whose best rate is not inside its grid."""
    sizes = np.unique(result.batch_size).tolist()
    planes = {size: best_plane(result, result.batch_size == size) for size in sizes}
    edges = {
        size: plane.edge if plane.has_best else _unreached_edge(result, plane)
        for size, plane in planes.items()
    }
    grids = {size: np.unique(result.hparams["learning_rate"][result.batch_size == size]) for size in edges}
    return {
        size: beyond(grids[size].tolist(), edge)
        for size, edge in edges.items()
        if edge and len(grids[size]) > 1
    }


def beyond(grid: Sequence[float], edge: str) -> tuple[float, ...]:
    """`RATES` more values of a log grid at its low or high end, in the spacing found there.

    >>> beyond((0.01, 0.1, 1.0), "high")[:2]
    (10.0, 100.0)
    """
    end, ratio = (grid[-1], grid[-1] / grid[-2]) if edge == "high" else (grid[0], grid[0] / grid[1])
    return tuple(float(f"{end * ratio**i:.6g}") for i in range(1, RATES + 1))


def _unreached_edge(result: Result, plane: RatePlane) -> str | None:
    """Where too few seeds reached the goal for a best rate: the end that reached it with most of them, if one did. Where
    none reached it: lower rates if all diverged, else the end that came closest."""
    mine = np.flatnonzero(result.batch_size == plane.batch_size)
    rates = result.hparams["learning_rate"][mine]
    ends = {rates.min(): "low", rates.max(): "high"}
    if plane.reached.any():
        grid, at = np.unique(rates, return_inverse=True)
        steps = result.steps_to_goal[mine]
        counts = np.bincount(at, np.isfinite(steps))
        fastest = [np.nanmin(np.append(steps[at == i], np.inf)) for i in range(len(grid))]
        return ends.get(grid[np.lexsort((fastest, -counts))[0]])
    alive = result.status[mine] != DIVERGED
    if not alive.any():
        return "low"
    last = np.array([result.curves[i].values[-1] if len(result.curves[i].values) else np.inf for i in mine])
    best = rates[np.nanargmin(np.where(alive, result.goal.sign * last, np.inf))]
    return ends.get(best)


def describe(added: Mapping[int, Sequence[float]]) -> tuple[str, ...]:
    """One line for each batch size whose grid grew."""
    return tuple(
        f"batch size {size}: best learning rate on the edge of the grid; {len(rates)} rates added, "
        f"{min(rates):.3g} to {max(rates):.3g}"
        for size, rates in added.items()
    )
