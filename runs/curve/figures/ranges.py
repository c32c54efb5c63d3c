"""Where in each searched range the best settings lie, and which were tried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import CHOICE, Axis, Result
from runs.curve.analysis import Analysis
from runs.plots import style

COLUMNS = 2
TOP, ROW, BELOW = 0.7, 3.0, 0.5  # inches: headline, a row of panels, legend
NEAR = 2.0  # times the fewest steps of its batch size


def ranges(result: Result, outcome: Analysis, path: str | Path | None = None) -> Figure:
    """One panel for each range: every setting at its batch size, dark where it got to the goal within twice the fewest
    steps, and the best value; hollow at the end of the range. Written to `path` if given."""
    assert result.searched
    names = list(result.searched.axes)
    rows = -(-len(names) // COLUMNS)
    height = TOP + ROW * rows + BELOW
    figure = style.new_figure(10.4, height)
    style.headline(figure, "Settings that were tried, and the best ones", style.study_line(result), left=0.08)
    panels = []
    for number in range(len(names)):
        row, column = divmod(number, COLUMNS)
        panels += [
            style.add_axes(
                figure,
                left=0.08 + 0.49 * column,
                bottom=(BELOW + ROW * (rows - 1 - row) + 0.5) / height,
                width=0.41 if len(names) > 1 else 0.9,
                height=(ROW - 0.8) / height,
            )
        ]
    draw_ranges(panels, result, outcome)
    style.legend_of_panels(figure, panels[0].get_legend_handles_labels()[0], 4, height=0.25 / height)
    return style.save(figure, path)


def draw_ranges(panels: Sequence[Axes], result: Result, outcome: Analysis) -> None:
    """The same into given axes, one for each range."""
    assert result.searched
    near, axes_of = _near(result), result.searched.axes
    for axes, (name, axis) in zip(panels, axes_of.items(), strict=True):
        _draw(axes, result, _best(outcome, name), name, axis, near)
    on_edge = {at_end for name in axes_of for _, _, at_end in _best(outcome, name)}
    _name_looks(panels[0], (not near.all(), bool(near.any()), False in on_edge, True in on_edge))


def _name_looks(axes: Axes, drawn: Sequence[bool]) -> None:
    """Nothing that is seen, but what a legend says of all panels: each look that is `drawn` in one of them."""
    looks = (
        ("tried", "o", style.FAINT, style.FAINT),
        (f"reached the goal within {NEAR:g} times the fewest steps", "o", style.SKY, style.SKY),
        ("best of the surface", "D", style.BLUE, style.BLUE),
        ("best of the surface, at the end of the range", "D", style.BLUE, "white"),
    )
    for (label, marker, colour, face), seen in zip(looks, drawn, strict=True):
        if seen:
            look = {"linestyle": "", "markerfacecolor": face, "markersize": 5}
            axes.plot([], [], marker=marker, color=colour, label=label, **look)


def _best(outcome: Analysis, name: str) -> list[tuple[int, float, bool]]:
    """Of each batch size that reached the goal: the best value of one range, and whether it is at the end of it."""
    found = []
    for row in outcome.optima:
        best = row.learning_rate.best if name == "learning_rate" and row.learning_rate else None
        best = row.others.get(name) if best is None else best
        if row.steps is not None and best is not None:
            found.append((row.batch_size, best, name in row.edges))
    return found


def _near(result: Result) -> np.ndarray:
    """Which trials got to the goal nearly as soon as the fastest at their batch size."""
    steps = np.where(np.isnan(result.steps_to_goal), np.inf, result.steps_to_goal)
    sizes, at = np.unique(result.batch_size, return_inverse=True)
    fewest = np.full(len(sizes), np.inf)
    np.minimum.at(fewest, at, steps)
    return np.isfinite(steps) & (steps <= NEAR * fewest[at])


def _draw(
    axes: Axes,
    result: Result,
    best: Sequence[tuple[int, float, bool]],
    name: str,
    axis: Axis,
    near: np.ndarray,
) -> None:
    style.batch_axis(axes, result.batch_size)
    values = 1.0 - result.hparams[name] if axis.scale == "log1m" else result.hparams[name]
    label = f"1 - {name}" if axis.scale == "log1m" else name
    low, high = min(axis.values), max(axis.values)
    if axis.scale == "log1m":
        low, high = 1.0 - high, 1.0 - low
    if axis.scale in ("log", "log1m") or (axis.scale == CHOICE and low > 0 and high / low > 10):
        style.log_axis(axes.yaxis, label, low / 1.3, high * 1.3)
    else:
        room = 0.06 * (high - low)
        axes.set_ylim(low - room, high + room)
        axes.set_ylabel(label, fontsize=10, color=style.INK)
    for chosen, colour, size in ((~near, style.FAINT, 9), (near, style.SKY, 14)):
        axes.scatter(result.batch_size[chosen], values[chosen], s=size, color=colour, linewidths=0, zorder=2)
    for batch_size, value, at_end in best:
        shown = 1.0 - value if axis.scale == "log1m" else value
        face = "white" if at_end else style.BLUE
        axes.plot(batch_size, shown, "D", color=style.BLUE, markerfacecolor=face, markersize=6, zorder=4)
