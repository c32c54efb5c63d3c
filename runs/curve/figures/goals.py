"""Critical batch size against the goal: it belongs to one, and grows as the goal gets harder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import Result
from runs.curve.analysis import Analysis
from runs.plots import style


def goals(result: Result, outcome: Analysis, path: str | Path | None = None) -> Figure:
    """One point with its interval for the study's goal and each easier one, easier ones to the left.

    Written to `path` if given.
    """
    figure = style.new_figure(6.4, 4.4)
    study = f"{style.plain(result.workload, 24)} · {style.plain(result.optimizer, 30)}"
    style.headline(figure, "Critical batch size against the goal", f"{study} · bars: 90 % intervals")
    draw_goals(style.add_axes(figure, bottom=0.16, height=0.66), result, outcome)
    return style.save(figure, path)


def draw_goals(axes: Axes, result: Result, outcome: Analysis) -> None:
    """The same into given axes."""
    del result
    known = [(entry.goal, entry.critical) for entry in outcome.goals[::-1] if entry.critical]
    if not known:
        style.note(axes, "no goal has a critical batch size that could be fitted")
        return
    value, low, high = np.array([(c.value, c.low, c.high) for _, c in known]).T
    places = np.arange(len(known))
    axes.errorbar(places, value, style.bars(value, low, high), fmt="o-", color=style.BLUE, linewidth=1.2)
    axes.set_xticks(places, [style.plain(str(goal), 18) for goal, _ in known], fontsize=style.SMALL)
    axes.set_xlim(-0.5, len(known) - 0.5)
    least, greatest = style.positive_span(value, low, high)
    style.log_axis(axes.yaxis, "critical batch size (examples)", least / 2, greatest * 2)
    axes.set_xlabel("goal, harder to the right", fontsize=10, color=style.INK)
