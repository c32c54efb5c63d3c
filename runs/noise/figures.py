"""Noise scales against the step and against the metric."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runs.plots import style

# Name in the summary: label, colour, marker. The window's scale is over its steps, the others at its end.
SERIES = {
    "window": ("$B_{simple}$ over the steps", style.BLUE, "o"),
    "curved": ("$B_{noise}$, with curvature", style.GREEN, "s"),
    "sign": ("sign-like updates ($\\ell_1$)", style.ORANGE, "^"),
    "spectral": ("spectral updates (nuclear norm)", style.PURPLE, "D"),
}


def noise_scale(summary: Mapping[str, Any], path: str | Path | None = None) -> Figure:
    """Each scale with its interval; an arrow upwards where it has no upper end. Written to `path` if given."""
    figure = style.new_figure(9.4, 5.0)
    workload, optimizer = (style.plain(summary[name], 24) for name in ("workload", "optimizer"))
    setting = ", ".join(f"{style.plain(name, 16)} {value:g}" for name, value in summary["hparams"].items())
    level = f"bars: {summary['level']:.0%} intervals"
    about = f"{workload} · {optimizer} · batch size {summary['batch_size']} · {setting} · {level}"
    style.headline(figure, "Gradient noise scale along the training", about, 0.075)
    points = summary["points"]
    steps, metric = (np.array([point[name] for point in points], float) for name in ("step", "metric"))
    panels = [
        style.add_axes(figure, left=left, width=0.4, bottom=0.24, height=0.61) for left in (0.075, 0.55)
    ]
    ends = [value for point in points for name in SERIES for value in (point[name] or {}).values() if value]
    low, high = style.positive_span(ends)
    for axes, x in zip(panels, (steps, metric), strict=True):
        style.log_axis(axes.yaxis, "", low / 1.4, high * 1.6)
        for number, name in enumerate(SERIES):
            _draw(axes, x * 1.02 ** (number - 1.5), [point[name] for point in points], *SERIES[name])
    panels[0].set_ylabel("noise scale (examples)", fontsize=10, color=style.INK)
    panels[1].tick_params(labelleft=False)
    style.log_axis(panels[0].xaxis, "optimizer steps", *_span(steps))
    name = style.plain(summary["goal"].split()[0], 24)
    if (metric > 0).all():
        style.log_axis(panels[1].xaxis, f"held-out {name}", *_span(metric))
    else:
        panels[1].set_xlabel(f"held-out {name}", fontsize=10, color=style.INK)
    if metric[-1] < metric[0]:  # training goes from left to right
        panels[1].invert_xaxis()
    style.legend_of_panels(figure, panels[0].get_legend_handles_labels()[0], 2, height=0.06)
    return style.save(figure, path)


def _span(values: np.ndarray) -> tuple[float, float]:
    low, high = style.positive_span(values)
    return low / 1.3, high * 1.3


def _draw(
    axes: Axes, x: np.ndarray, scales: list[dict[str, Any] | None], label: str, colour: str, marker: str
) -> None:
    known = [i for i, scale in enumerate(scales) if scale and scale["best"] is not None]
    if not known:
        return
    rows = [scales[i] or {} for i in known]
    best, low = (np.array([row[name] for row in rows], float) for name in ("best", "low"))
    high = np.array([np.inf if row["high"] is None else row["high"] for row in rows], float)
    axes.errorbar(
        x[known],
        best,
        yerr=style.bars(best, low, high),
        fmt=marker,
        linestyle="-",
        color=colour,
        markersize=4.5,
        linewidth=1.3,
        elinewidth=0.9,
        label=label,
    )
