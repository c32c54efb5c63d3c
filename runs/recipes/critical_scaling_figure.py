"""Critical batch sizes against width, and against the examples that a goal takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import CriticalBatchSize
from runs.plots import style

ASIDE = 1.05  # factor between the places of two goals at one width: no bar hides another
SHADES = (style.SKY, style.BLUE, style.GREEN, style.ORANGE, style.VERMILION)
Points = Iterable[tuple[float, CriticalBatchSize]]


def draw(
    found: Mapping[tuple[int, str], CriticalBatchSize], about: str, published: float, path: Path
) -> Figure:
    """By width and goal: against width, a line for each goal; against the fewest examples, a line for each width."""
    figure = style.new_figure(11.0, 5.2)
    style.headline(figure, "The critical batch size from small to large", about, left=0.075)
    panels = [
        style.add_axes(figure, left=left, bottom=0.27, width=0.4, height=0.53) for left in (0.075, 0.575)
    ]
    if not found:
        style.note(panels[0], "no critical batch size could be fitted")
        return style.save(figure, path)
    widths, goals = list(dict.fromkeys(w for w, _ in found)), list(dict.fromkeys(goal for _, goal in found))
    low, high = style.positive_span(*[(one.low, one.high) for one in found.values()])
    examples = np.array([one.e_min for one in found.values()])
    for axes, label, at in zip(
        panels, ("width", "fewest examples to the goal"), (widths, examples), strict=True
    ):
        style.log_axis(axes.xaxis, label, min(at) / 1.4, max(at) * 1.4)
        style.log_axis(axes.yaxis, "critical batch size (examples)", low / 1.4, high * 1.4)
    panels[0].set_xticks(widths, map(str, widths))
    panels[0].set_xticks([], minor=True)
    for number, goal in enumerate(goals):
        aside = ASIDE ** (number - (len(goals) - 1) / 2)
        points = [(aside * width, one) for (width, of), one in found.items() if of == goal]
        _line(panels[0], points, goal, SHADES[number % len(SHADES)])
    for number, width in enumerate(widths):
        points = [(one.e_min, one) for (of, _), one in found.items() if of == width]
        _line(panels[1], points, f"width {width}", SHADES[number % len(SHADES)])
    ends = np.array([examples.min(), examples.max()])
    middle = np.exp(np.mean(np.log([one.value for one in found.values()])))
    law = middle * (ends / np.exp(np.log(examples).mean())) ** published
    panels[1].plot(ends, law, "--", color=style.MUTED, linewidth=1.2)
    return style.save(figure, path)


def _line(axes: Axes, points: Points, label: str, colour: str) -> None:
    at, best, low, high = np.array([(x, one.value, one.low, one.high) for x, one in points]).T
    bars = style.bars(best, low, high)
    axes.errorbar(at, best, yerr=bars, color=colour, marker="o", markersize=4.5, linewidth=1.3, label=label)
    axes.legend(frameon=False, fontsize=style.SMALL, loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=3)
