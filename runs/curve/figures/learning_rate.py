"""The best learning rate against batch size, and the law it follows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from lr_batch import LearningRateLaw, Optimum, Result
from runs.curve.analysis import Analysis
from runs.curve.law_words import exponents_text, line_text
from runs.curve.words import why_no_rate
from runs.plots import style
from runs.plots.cells import DIVERGED_CELL, NOT_RUN, RateGrid, cell_boxes, geometric_edges, rate_grid

# Slope in log-log, name, dashes: the two rules by which the rate is commonly moved with the batch.
GUIDES = ((1.0, "∝ batch", (5, 3)), (0.5, "∝ √batch", (1.5, 2)))


def learning_rate(result: Result, outcome: Analysis, path: str | Path | None = None) -> Figure:
    """Best rates with intervals (hollow: at the edge of the grid), the best law, guides of slope 1 and 1/2.

    What was not measured, beyond the grid or within it, is shaded. Without a law a remark says why there is
    none. Written to `path` if given.
    """
    figure = style.new_figure(7.2, 5.2)
    axes = style.add_axes(figure, bottom=0.2, height=0.645)
    style.headline(figure, f"Best {result.rate_name} against batch size", style.study_line(result))
    draw_learning_rate(axes, result, outcome)
    style.legend_below(axes)
    return style.save(figure, path)


def draw_learning_rate(axes: Axes, result: Result, outcome: Analysis) -> None:
    """The same into given axes."""
    style.batch_axis(axes, result.batch_size)
    if not result.has_rate:
        style.note(axes, why_no_rate(result))
        return
    grid = rate_grid(outcome.cells)
    optima = [row for row in outcome.optima if row.learning_rate]
    style.log_axis(axes.yaxis, result.rate_name, grid.edges[0] / 1.25, grid.edges[-1] * 1.25)
    _shade_unmeasured(axes, grid)
    if not result.searched:  # whose settings are no grid
        _shade_left_out(axes, outcome.cells.batch_sizes, grid)
    _mark_diverged(axes, outcome.cells.batch_sizes, grid)
    if optima:
        _draw_guides(axes, optima)
        _draw_optima(axes, optima)
    else:
        style.note(axes, "no batch size has a best rate: none reached the goal")
    if outcome.law:
        _draw_law(axes, outcome.law)
    elif optima:
        style.remark(axes, outcome.no_law)


def _shade_unmeasured(axes: Axes, grid: RateGrid) -> None:
    low, high = axes.get_ylim()
    axes.axhspan(low, grid.edges[0], color=style.FAINT, linewidth=0, label="outside the measured rates")
    axes.axhspan(grid.edges[-1], high, color=style.FAINT, linewidth=0)


def _shade_left_out(axes: Axes, batch_sizes: np.ndarray, grid: RateGrid) -> None:
    """Rates that other batch sizes were measured at."""
    edges = geometric_edges(batch_sizes.astype(float))
    boxes = cell_boxes(np.argwhere(grid.outcome == NOT_RUN), edges, grid)
    axes.add_collection(PolyCollection(boxes, facecolor=style.FAINT, linewidth=0, zorder=0.5), autolim=False)


def lowest_diverged(grid: RateGrid) -> np.ndarray:
    """Per batch size the lowest rate above the fastest at which most seeds diverged; NaN where none did."""
    fastest = np.argmin(grid.steps, axis=0)
    above = np.arange(len(grid.rates))[:, None] > np.where(np.isfinite(grid.steps.min(axis=0)), fastest, -1)
    diverged = (grid.outcome == DIVERGED_CELL) & above
    return np.where(diverged.any(axis=0), grid.rates[np.argmax(diverged, axis=0)], np.nan)


def _mark_diverged(axes: Axes, batch_sizes: np.ndarray, grid: RateGrid) -> None:
    rates = lowest_diverged(grid)
    if np.isfinite(rates).any():
        axes.plot(
            batch_sizes,
            rates,
            "x",
            color=style.VERMILION,
            markersize=5.5,
            alpha=0.8,
            label="lowest rate that diverged",
        )


def guide(anchor: Optimum, batch: Float[np.ndarray, " n"], slope: float) -> Float[np.ndarray, " n"]:
    """Rates that grow as batch^slope, through the best one of `anchor`."""
    assert anchor.learning_rate is not None  # nothing else anchors a guide
    return anchor.learning_rate.best * (batch / anchor.batch_size) ** slope


def _draw_guides(axes: Axes, optima: Sequence[Optimum]) -> None:
    """The guides through the best rate of the smallest batch size."""
    batch = np.array(axes.get_xlim())
    for slope, name, dashes in GUIDES:
        rates = guide(optima[0], batch, slope)
        axes.plot(
            batch, rates, color=style.MUTED, linewidth=1.1, linestyle=(0, dashes), zorder=1.5, label=name
        )


def _draw_optima(axes: Axes, optima: Sequence[Optimum]) -> None:
    for edge, face, label in (
        (False, style.BLUE, "best rate, with interval"),
        (True, "white", "best rate at the edge of the grid"),
    ):
        rows = [
            (row.batch_size, *row.learning_rate)
            for row in optima
            if row.learning_rate and (row.edge is not None) == edge
        ]
        if rows:
            batch, best, low, high = np.array(rows).T
            axes.errorbar(
                batch,
                best,
                yerr=style.bars(best, low, high),
                fmt="o",
                color=style.BLUE,
                markerfacecolor=face,
                markersize=5.5,
                capsize=3,
                elinewidth=1.3,
                label=label,
                zorder=4,
            )


def draw_law_line(axes: Axes, law: LearningRateLaw) -> None:
    """Over all batch sizes that the axes show."""
    batch, look = np.geomspace(*axes.get_xlim(), 200), {"color": style.BLUE, "linewidth": 1.6, "alpha": 0.85}
    axes.plot(batch, law.rate(batch), zorder=3, label=line_text(law), **look)


def _draw_law(axes: Axes, law: LearningRateLaw) -> None:
    draw_law_line(axes, law)
    axes.text(
        0.985,
        0.045,
        style.broken(axes, style.plain(law.words, 200), exponents_text(law)),
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=style.SMALL,
        color=style.BLUE,
    )
