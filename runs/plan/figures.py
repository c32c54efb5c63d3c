"""Wall time against devices, and against what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import ClusterPlan, PlannedRow
from runs.plots import style

HOUR = 3600.0


def plan_figure(plan: ClusterPlan, study: str, path: str | Path | None = None) -> Figure:
    """Left: hours against devices, with the batch size at each point; right: hours against device hours, with the number
    of devices. Hollow points are predicted. Written to `path` if given."""
    figure = style.new_figure(9.4, 5.0)
    about = f"{style.plain(study, 70)} · {plan.level:.0%} intervals"
    style.headline(figure, "Devices, batch size and time to the goal", about, 0.075)
    left, right = (
        style.add_axes(figure, left=place, width=0.405, bottom=0.2, height=0.63) for place in (0.075, 0.57)
    )
    hours = [end / HOUR for row in plan.rows for end in row.seconds]
    low, high = style.positive_span(hours)
    for axes in (left, right):
        style.log_axis(axes.yaxis, "wall time (hours)", low / 1.5, high * 1.6)
    _against(left, plan.rows, [row.devices for row in plan.rows], "devices, batch size at each point")
    _against(
        right,
        plan.rows,
        [row.device_seconds.best / HOUR for row in plan.rows],
        "device hours, devices at each point",
    )
    _ideal(left, plan.rows)
    for row in plan.rows:
        _label(left, row.devices, row, f"{row.batch_size.best:,.0f}")
        _label(right, row.device_seconds.best / HOUR, row, f"{row.devices:,}")
    knee = next((row for row in plan.rows if plan.knee and row.devices == plan.knee.best), None)
    if knee:
        _mark_knee(left, knee.devices, knee)
        _mark_knee(right, knee.device_seconds.best / HOUR, knee)
    handles = left.get_legend_handles_labels()[0]
    figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(0.5, 0.05),
        ncols=4,
        frameon=False,
        fontsize=style.SMALL,
    )
    return style.save(figure, path)


def _against(axes: Axes, rows: Sequence[PlannedRow], x: Sequence[float], label: str) -> None:
    low, high = style.positive_span(x)
    style.log_axis(axes.xaxis, label, low / 1.6, high * 3.0)
    for measured, face, name in ((True, style.BLUE, "measured batch sizes"), (False, "white", "predicted")):
        at = [i for i, row in enumerate(rows) if row.measured == measured]
        if not at:
            continue
        best, below, above = np.array([rows[i].seconds for i in at]).T / HOUR
        axes.errorbar(
            np.array(x)[at],
            best,
            yerr=style.bars(best, below, above),
            fmt="o",
            color=style.BLUE,
            markerfacecolor=face,
            linestyle="-" if measured else ":",
            markersize=5.5,
            linewidth=1.2,
            label=name,
        )


def _ideal(axes: Axes, rows: Sequence[PlannedRow]) -> None:
    first = rows[0]
    devices = np.array([row.devices for row in rows], float)
    ideal = first.seconds.best / HOUR * first.devices / devices
    axes.plot(
        devices,
        ideal,
        color=style.MUTED,
        linestyle="--",
        linewidth=1.0,
        label="time halved by twice the devices",
    )


def _label(axes: Axes, x: float, row: PlannedRow, text: str) -> None:
    axes.annotate(
        text,
        (x, row.seconds.best / HOUR),
        xytext=(4, 6),
        textcoords="offset points",
        fontsize=7.5,
        color=style.INK,
        path_effects=style.over_lines(),
    )


def _mark_knee(axes: Axes, x: float, row: PlannedRow) -> None:
    axes.plot(
        [x],
        [row.seconds.best / HOUR],
        "o",
        markersize=12,
        markerfacecolor="none",
        color=style.VERMILION,
        label="knee",
    )
