"""What the fastest member of a population was trained with, against its steps, at every batch size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import Axis, Optimum, Result, pieces
from runs.curve.analysis import Analysis
from runs.curve.figures.training_curves import batch_colours
from runs.plots import style

COLUMNS = 2
TOP, ROW, BELOW = 0.7, 3.2, 0.5  # inches: headline, a row of panels, legend
LEFT = 0.15  # of a panel: its labels


def lineages(result: Result, outcome: Analysis, path: str | Path | None = None) -> Figure:
    """One panel for each hyperparameter that changed: its value from step to step, up to the goal, which a dot marks.
    Written to `path` if given."""
    assert result.searched
    number = len(result.searched.axes)
    rows, columns = -(-number // COLUMNS), min(COLUMNS, number)
    height = TOP + ROW * rows + BELOW
    figure = style.new_figure(5.2 * columns, height)
    style.headline(
        figure, "What the fastest members were trained with", style.study_line(result), LEFT / columns
    )
    panels = [
        style.add_axes(
            figure,
            left=(LEFT + place % COLUMNS) / columns,
            bottom=(BELOW + ROW * (rows - 1 - place // COLUMNS) + 0.55) / height,
            width=0.81 / columns,
            height=(ROW - 0.85) / height,
        )
        for place in range(number)
    ]
    draw_lineages(panels, result, outcome)
    handles, _ = panels[0].get_legend_handles_labels()
    if handles:
        style.legend_of_panels(figure, handles, min(len(handles), 3 * columns), height=0.25 / height)
    return style.save(figure, path)


def draw_lineages(panels: Sequence[Axes], result: Result, outcome: Analysis) -> None:
    """The same into given axes, one for each hyperparameter."""
    assert result.searched
    reached = [row for row in outcome.optima if row.steps is not None]
    for axes, (name, axis) in zip(panels, result.searched.axes.items(), strict=True):
        _draw(axes, result, reached, batch_colours(len(reached)), name, axis)


def _draw(
    axes: Axes, result: Result, reached: list[Optimum], colours: list[str], name: str, axis: Axis
) -> None:
    from_one = axis.scale == "log1m"
    values = [1.0 - value for value in axis.values] if from_one else list(axis.values)
    low, high, label = min(values), max(values), f"1 - {name}" if from_one else name
    if low > 0 and high / low > 10:
        style.log_axis(axes.yaxis, label, low / 1.3, high * 1.3)
    else:
        axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        axes.set_ylabel(label, fontsize=10, color=style.INK)
    ends = [row.steps for row in reached if row.steps]
    style.log_axis(axes.xaxis, "optimizer steps", 0.8, max(ends, default=10.0) * 1.3)
    if not reached:
        return style.note(axes, "no batch size reached the goal")
    for row, colour in zip(reached, colours, strict=True):
        steps, shown = _staircase(result, row, name, from_one)
        look = {"linewidth": 1.6, "drawstyle": "steps-post", "alpha": 0.9, "marker": "o", "markersize": 5}
        axes.plot(steps, shown, color=colour, markevery=[-1], label=f"batch size {row.batch_size:,}", **look)


def _staircase(result: Result, row: Optimum, name: str, from_one: bool) -> tuple[np.ndarray, np.ndarray]:
    """Steps at which values begin, the first one at 1 for the log axis, and the step of the goal with the last value."""
    found = pieces(result, row)
    values = np.array([piece.setting[name] for piece in found])
    starts = [max(piece.start, 1) for piece in found]
    shown = 1.0 - values if from_one else values
    return np.array([*starts, row.steps], float), np.array([*shown, shown[-1]])
