"""Axes and series that the figures of a regularizer share: one place for each strength, intervals side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from lr_batch import Estimate, Generalization, StrengthRow
from runs.plots import style
from runs.regularize.outcome import strength_text


def errorbars(
    axes: Axes, values: Sequence[Estimate], colour: str, label: str, shift: float, *, filled: bool = True
) -> None:
    middle, low, high = np.array([tuple(value) for value in values]).T
    some = np.isfinite(middle)
    axes.errorbar(
        np.flatnonzero(some) + shift,
        middle[some],
        fmt="o",
        yerr=style.bars(middle[some], low[some], high[some]),
        linestyle="-" if filled else (0, (4, 2)),
        color=colour,
        markerfacecolor=colour if filled else "white",
        markersize=5,
        linewidth=1.4,
        elinewidth=0.9,
        label=label,
    )


def shifts(num: int) -> list[float]:
    """Places of `num` series beside each other, so that none hides another's interval."""
    return [0.05 * (i - (num - 1) / 2) for i in range(num)]


def strength_axis(axes: Axes, fits: Generalization, rows: Sequence[StrengthRow]) -> None:
    """One place for each strength: they may hold 0 and a bound that is off."""
    grid = sorted({row.strength for row in rows})
    axes.set_xticks(range(len(grid)), [strength_text(fits, strength) for strength in grid])
    axes.set_xlim(-0.4, len(grid) - 0.6)
    axes.set_xlabel(fits.regularizer.strength.replace("_", " "), fontsize=10, color=style.INK)


def legend(figure: Figure, axes: Axes) -> None:
    """What `axes` shows, in the strip below all panels."""
    handles = axes.get_legend_handles_labels()[0]
    style.legend_of_panels(figure, handles, 6, height=0.045)


def log_axis(axes: Axes, label: str) -> None:
    """Log y-axis with plain numbers; an interval that reaches down to 0 leaves it by an arrow, one without end above."""
    axes.set_yscale("log", nonpositive="clip")
    whiskers = [bars for series in axes.containers for bars in series[2]]
    ends = np.concatenate([_lower_ends(bars) for bars in whiskers] or [np.zeros((0, 2))])[:, 1]
    low, high = axes.get_ylim()[0], highest(axes)
    inside = ends[ends > low / FURTHEST]
    low = min([low, *(inside / 1.1)])
    style.log_axis(axes.yaxis, label, low, high)
    for bars in whiskers:
        out = np.array([x for x, y in _lower_ends(bars) if y < low])
        look = {"color": bars.get_color(), "markersize": 5, "clip_on": False, "linestyle": "none"}
        axes.plot(out, np.zeros(len(out)), marker="v", transform=axes.get_xaxis_transform(), **look)


def highest(axes: Axes) -> float:
    """Upper limit of the y-axis: an interval without an end leaves the axes, it does not stretch them."""
    points = [series[0].get_ydata() for series in axes.containers]
    return min(axes.get_ylim()[1], FURTHEST * style.positive_span(*points)[1])


FURTHEST = 10.0  # an interval that reaches further from the points would flatten them


def _lower_ends(bars: LineCollection) -> Float[np.ndarray, "bars 2"]:
    return np.array([segment[segment[:, 1].argmin()] for segment in bars.get_segments()]).reshape(-1, 2)
