"""Steps to the goal over learning rate and batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lr_batch import Result
from runs.curve.analysis import Analysis
from runs.curve.words import why_no_rate
from runs.plots import style
from runs.plots.cells import (
    BUDGET_CELL,
    CELL_LABELS,
    DIVERGED_CELL,
    NOT_RUN,
    OUTPACED_CELL,
    RateGrid,
    cell_boxes,
    geometric_edges,
    rate_grid,
)

# Cells without a number differ from the coloured ones, and from each other in print too: by their hatching.
_LOOKS: dict[int, dict[str, Any]] = {
    OUTPACED_CELL: {"facecolor": "#f1f2f4", "edgecolor": "#c3c8cf", "hatch": ""},
    BUDGET_CELL: {"facecolor": "#e3e5e9", "edgecolor": "#8b929c", "hatch": "////"},
    DIVERGED_CELL: {"facecolor": "#fdf0e8", "edgecolor": "#e39a6d", "hatch": "xxx"},
    NOT_RUN: {"facecolor": "white", "edgecolor": "#d9dce1", "hatch": "..."},
}


def heatmap(result: Result, outcome: Analysis, path: str | Path | None = None) -> Figure:
    """Median steps over seeds as colour; the fastest rate of each batch size is ringed.

    Hyperparameters beside the learning rate are at their best in each cell. Written to `path` if given.
    """
    figure = style.new_figure(7.2, 5.2)
    axes = style.add_axes(figure, bottom=0.2, height=0.645, width=0.755)
    style.headline(
        figure, f"Steps to the goal, by {result.rate_name} and batch size", style.study_line(result)
    )
    draw_heatmap(axes, result, outcome)
    style.legend_below(axes)
    return style.save(figure, path)


def draw_heatmap(axes: Axes, result: Result, outcome: Analysis) -> None:
    """The same into given axes; the scale of the colours takes some room at their right."""
    axes.grid(False)
    style.batch_axis(axes, result.batch_size)
    if not result.has_rate:
        style.note(axes, why_no_rate(result))
        return
    table = outcome.cells
    grid = rate_grid(table)
    style.log_axis(axes.yaxis, result.rate_name, grid.edges[0], grid.edges[-1])
    edges = geometric_edges(table.batch_sizes.astype(float))
    axes.set_xlim(edges[0], edges[-1])
    _draw_steps(axes, edges, grid)
    _draw_failures(axes, edges, grid)
    _mark_best(axes, table.batch_sizes, grid)


def _draw_steps(axes: Axes, edges: np.ndarray, grid: RateGrid) -> None:
    reached = np.ma.masked_invalid(np.where(np.isfinite(grid.steps), grid.steps, np.nan))
    if reached.count() == 0:
        style.note(axes, "no setting reached the goal at any batch size")
        return
    low, high = reached.min(), reached.max()
    high = high if high > low else 2 * low
    mesh = axes.pcolormesh(
        edges,
        grid.edges,
        reached,
        norm=LogNorm(low, high),
        cmap=matplotlib.colormaps["viridis_r"],
        edgecolors="white",
        linewidth=0.4,
    )
    scale = axes.inset_axes((1.02, 0.0, 0.0265, 1.0))
    axes.figure.colorbar(mesh, cax=scale)
    style.log_axis(scale.yaxis, "steps to the goal (median over seeds)", low, high)
    scale.tick_params(labelsize=style.SMALL)


def _draw_failures(axes: Axes, edges: np.ndarray, grid: RateGrid) -> None:
    """Fills the cells without a number."""
    for outcome, looks in _LOOKS.items():
        where = np.argwhere(grid.outcome == outcome)
        if len(where) == 0:
            continue
        boxes = cell_boxes(where, edges, grid)
        axes.add_collection(PolyCollection(boxes, linewidth=0, **looks), autolim=False)
        axes.add_patch(Rectangle((0, 0), 0, 0, linewidth=0.5, label=CELL_LABELS[outcome], **looks))


def _mark_best(axes: Axes, batch_sizes: np.ndarray, grid: RateGrid) -> None:
    """Rings the fastest rate of every batch size that reached the goal."""
    reached = np.isfinite(grid.steps.min(axis=0))
    if not reached.any():
        return
    rates = grid.rates[np.argmin(grid.steps, axis=0)]
    looks = {"marker": "o", "markersize": 7, "markerfacecolor": "white", "markeredgecolor": style.INK}
    axes.plot(batch_sizes[reached], rates[reached], linestyle="", label="fastest rate", **looks)
