"""What the fastest member of a population was trained with, piece by piece up to the goal, at every batch size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lr_batch import Axis, Optimum, Piece, Result, pieces
from runs.curve.analysis import Analysis
from runs.plots import style

COLUMNS = 2
TOP, ROW, BELOW = 0.7, 0.34, 0.4  # inches: headline, the bar of a batch size, legend
AXIS, GAP = 0.6, 0.35  # inches: of a panel its labels below, and the room above it
LEFT = 0.15  # of a panel: its labels
LETTER = 0.075  # inches
BEFORE = 2.0  # the axis begins at this part of the first change, since nothing changes earlier


def lineages(result: Result, outcome: Analysis, path: str | Path | None = None) -> Figure:
    """One panel for each hyperparameter that changed, with a bar for each batch size: its values from step to step, up to
    the goal, which a dot marks. Written to `path` if given."""
    assert result.searched
    number, bars = len(result.searched.axes), max(4, len(_reached(outcome)))
    rows, columns = -(-number // COLUMNS), min(COLUMNS, number)
    panel = ROW * bars + AXIS + GAP
    height = TOP + panel * rows + BELOW
    figure = style.new_figure(5.2 * columns, height)
    style.headline(
        figure, "What the fastest members were trained with", style.study_line(result), LEFT / columns
    )
    panels = [
        style.add_axes(
            figure,
            left=(LEFT + place % COLUMNS) / columns,
            bottom=(BELOW + panel * (rows - 1 - place // COLUMNS) + AXIS) / height,
            width=0.81 / columns,
            height=ROW * bars / height,
        )
        for place in range(number)
    ]
    draw_lineages(panels, result, outcome)
    handles, _ = panels[0].get_legend_handles_labels()
    if handles:
        style.legend_of_panels(figure, handles, len(handles), height=0.2 / height)
    return style.save(figure, path)


def draw_lineages(panels: Sequence[Axes], result: Result, outcome: Analysis) -> None:
    """The same into given axes, one for each hyperparameter."""
    assert result.searched
    reached = _reached(outcome)
    found = [pieces(result, row) for row in reached]
    for axes, (name, axis) in zip(panels, result.searched.axes.items(), strict=True):
        _draw(axes, result, reached, found, name, axis)


def _reached(outcome: Analysis) -> list[Optimum]:
    return [row for row in outcome.optima if row.steps is not None]


def _draw(
    axes: Axes,
    result: Result,
    reached: list[Optimum],
    found: list[tuple[Piece, ...]],
    name: str,
    axis: Axis,
) -> None:
    axes.set_title(name, loc="left", fontsize=10, color=style.INK)
    changes = [piece.start for one in found for piece in one if piece.start > 0]
    ends = [row.steps for row in reached if row.steps]
    first = max(1.0, min([*changes, *ends], default=10.0) / BEFORE)
    style.log_axis(axes.xaxis, "optimizer steps", first, max(ends, default=10.0) * 1.3)
    axes.set_yticks(range(len(reached)), [f"{row.batch_size:,}" for row in reached])
    axes.set_ylim(-0.6, max(len(reached), 1) - 0.4)
    axes.set_ylabel("batch size", fontsize=10, color=style.INK)
    axes.grid(False, axis="y")
    if not reached:
        return style.note(axes, "no batch size reached the goal")
    inch = np.log(axes.get_xlim()[1] / axes.get_xlim()[0]) / style.inches(axes)  # of log steps
    for place, (row, own) in enumerate(zip(reached, found, strict=True)):
        held = _held(own, name)
        bounds = [first, *(start for start, _ in held[1:]), row.steps]
        for (_, value), span in zip(held, pairwise(bounds), strict=True):
            _bar(axes, place, span, value, axis, result.words(name, value), inch)
    axes.plot(
        ends,
        range(len(ends)),
        "o",
        color=style.INK,
        markeredgecolor="white",
        markersize=7,
        label="goal reached",
    )


def _held(own: Sequence[Piece], name: str) -> list[tuple[int, float]]:
    """From which steps on which values of one hyperparameter held; others may have changed meanwhile."""
    values = [(piece.start, piece.setting[name]) for piece in own]
    return [one for i, one in enumerate(values) if i == 0 or one[1] != values[i - 1][1]]


def _bar(
    axes: Axes, place: int, span: tuple[float, float], value: float, axis: Axis, words: str, inch: float
) -> None:
    """A piece, darker the larger its value, which stands in it where there is room."""
    start, end = span
    share = float(np.clip(axis.to_unit(np.array([value]))[0], 0, 1))
    colour = to_hex(matplotlib.colormaps["Blues"](0.15 + 0.7 * share))
    axes.barh(place, end - start, left=start, height=0.72, color=colour, edgecolor="white", linewidth=1)
    if np.log(end / start) / inch > LETTER * (len(words) + 1):
        letters = "white" if share > 0.6 else style.INK
        middle = float(np.sqrt(start * end))
        axes.text(middle, place, words, ha="center", va="center", fontsize=style.SMALL, color=letters)
