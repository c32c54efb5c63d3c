"""Steps to the goal over learning rate and batch size; pointing at a cell lists its seeds."""

from __future__ import annotations

import numpy as np

from lr_batch import Result
from runs.curve.analysis import Analysis
from runs.page.blocks import Spec, batch_axis, escape, layout, log_axis, markers
from runs.plots import style
from runs.plots.cells import (
    BUDGET_CELL,
    CELL_LABELS,
    DIVERGED_CELL,
    NOT_RUN,
    OUTPACED_CELL,
    Cells,
    RateGrid,
    geometric_edges,
    rate_grid,
)

_FAILURES = {
    OUTPACED_CELL: {"symbol": "circle", "size": 4, "color": "#c3c8cf"},
    BUDGET_CELL: {"symbol": "line-ne-open", "size": 9, "color": style.MUTED},
    DIVERGED_CELL: {"symbol": "x-thin-open", "size": 8, "color": style.VERMILION},
    NOT_RUN: {"symbol": "line-ew-open", "size": 5, "color": "#d9dce1"},
}
_RING = {"symbol": "circle", "size": 10, "color": "white", "line": {"color": style.INK, "width": 1.3}}


def heatmap_chart(result: Result, outcome: Analysis) -> Spec:
    """Median steps as colour; a symbol says why a cell has none."""
    table = outcome.cells
    grid = rate_grid(table)
    hover = _cell_texts(result, table, grid)
    reached = np.isfinite(grid.steps)
    x, y = np.meshgrid(table.batch_sizes, grid.rates)
    data = [_colours(table, grid, hover)] if reached.any() else []
    for kind, looks in _FAILURES.items():
        at = grid.outcome == kind
        data.append(markers(CELL_LABELS[kind], x[at], y[at], hover[at], **looks))
    column = np.flatnonzero(reached.any(axis=0))
    row = np.argmin(grid.steps, axis=0)[column]
    data.append(
        markers("fastest rate", table.batch_sizes[column], grid.rates[row], hover[row, column], **_RING)
    )
    edges = geometric_edges(table.batch_sizes.astype(float))
    x_axis = batch_axis(result.batch_size) | {"showgrid": False, "range": np.log10(edges[[0, -1]])}
    return {
        "data": data,
        "layout": layout(x_axis, log_axis(result.rate_name, *grid.edges[[0, -1]], showgrid=False)),
    }


def _colours(table: Cells, grid: RateGrid, hover: np.ndarray) -> Spec:
    steps = np.where(np.isfinite(grid.steps), grid.steps, np.nan)
    scale = log_axis("", *style.positive_span(steps))
    bar = {"title": {"text": "steps (median)", "side": "right"}, "outlinewidth": 0, "thickness": 14}
    return {
        "type": "heatmap",
        "x": geometric_edges(table.batch_sizes.astype(float)),
        "y": grid.edges,
        "z": np.log10(steps),
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
        "colorscale": "Viridis",
        "reversescale": True,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "colorbar": bar | {"tickvals": np.log10(scale["tickvals"]), "ticktext": scale["ticktext"]},
    }


def _cell_texts(result: Result, table: Cells, grid: RateGrid) -> np.ndarray:
    """What every cell of the grid shows when pointed at: its trials, seed by seed."""
    texts = np.full(grid.steps.shape, "", dtype=object)
    at_batch, at_setting = table.trial_cell
    at_rate = grid.row_of_setting[at_setting]
    for trial in np.lexsort((result.seed, at_setting)):
        cell = at_rate[trial], at_batch[trial]
        texts[cell] = texts[cell] or f"batch size {result.batch_size[trial]}, rate {grid.rates[cell[0]]:.4g}"
        texts[cell] += f"<br>seed {result.seed[trial]}: {_trial_text(result, trial)}"
    return np.where(grid.outcome == NOT_RUN, CELL_LABELS[NOT_RUN], texts)


def _trial_text(result: Result, trial: int) -> str:
    others = [
        f"{escape(n)} {escape(result.words(n, v[trial]))}, "
        for n, v in result.hparams.items()
        if n != "learning_rate"
    ]
    steps = result.steps_to_goal[trial]
    count = f"{steps:,.0f}" if np.isfinite(steps) else f"{result.steps[trial]:,}"
    return f"{''.join(others)}{result.status[trial]}, {count} steps"
