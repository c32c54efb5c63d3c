"""Wall time against devices, and against what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import ClusterPlan, Estimate
from runs.plots import style

# From so many seconds on, an axis of times has this unit.
UNITS = (
    (2 * 86_400.0, 86_400.0, "days"),
    (7_200.0, 3_600.0, "hours"),
    (120.0, 60.0, "minutes"),
    (0.0, 1.0, "seconds"),
)


def unit_of(seconds: float) -> tuple[float, str]:
    """(seconds of it, name) of the unit in which a time of so many seconds is a number of one to three digits.

    >>> unit_of(1.5), unit_of(36_000.0)
    ((1.0, 'seconds'), (3600.0, 'hours'))
    """
    return next((unit, name) for least, unit, name in UNITS if seconds >= least)


def plan_figure(plan: ClusterPlan, study: str, path: str | Path | None = None) -> Figure:
    """Left: wall time against devices, with the batch size at each point; right: against the time of all devices
    together, with the number of devices. Hollow points are predicted. Written to `path` if given."""
    figure = style.new_figure(9.4, 5.0)
    about = f"{style.plain(study, 70)} · {plan.level:.0%} intervals"
    style.headline(figure, "Devices, batch size and time to the goal", about, 0.085)
    left, right = (
        style.add_axes(figure, left=place, width=0.395, bottom=0.2, height=0.63) for place in (0.085, 0.585)
    )
    unit, name = unit_of(max(row.seconds.best for row in plan.rows))
    device_unit, device_name = unit_of(max(row.device_seconds.best for row in plan.rows))
    times = [Estimate(*(end / unit for end in row.seconds)) for row in plan.rows]
    costs = [row.device_seconds.best / device_unit for row in plan.rows]
    devices = [row.devices for row in plan.rows]
    low, high = style.positive_span(*times)
    for axes in (left, right):
        style.log_axis(axes.yaxis, f"wall time ({name})", low / 1.5, high * 1.6)
    style.batch_axis(left, devices)
    left.set_xlabel("devices; batch size at each point")
    style.log_axis(
        right.xaxis, f"device {device_name}; devices at each point", min(costs) / 1.6, max(costs) * 3.0
    )
    for axes, x, texts in (
        (left, devices, [f"{row.batch_size.best:,.0f}" for row in plan.rows]),
        (right, costs, [f"{number:,}" for number in devices]),
    ):
        _draw(axes, x, times, [row.measured for row in plan.rows])
        _label(axes, x, times, texts)
        for i, row in enumerate(plan.rows):
            if plan.knee and row.devices == plan.knee.best:
                _mark_knee(axes, x[i], times[i].best)
    _ideal(left, devices, times[0].best)
    handles = left.get_legend_handles_labels()[0]
    style.legend_of_panels(figure, handles, 4)
    return style.save(figure, path)


def _draw(axes: Axes, x: Sequence[float], times: Sequence[Estimate], measured: Sequence[bool]) -> None:
    for of, face, name in ((True, style.BLUE, "measured batch sizes"), (False, "white", "predicted")):
        at = [i for i, known in enumerate(measured) if known == of]
        if not at:
            continue
        best, low, high = np.array([times[i] for i in at]).T
        axes.errorbar(
            np.array(x, float)[at],
            best,
            yerr=style.bars(best, low, high),
            fmt="o",
            color=style.BLUE,
            markerfacecolor=face,
            linestyle="-" if of else ":",
            markersize=5.5,
            linewidth=1.2,
            label=name,
        )


def _ideal(axes: Axes, devices: Sequence[int], first: float) -> None:
    ideal = first * devices[0] / np.array(devices, float)
    looks = {"color": style.MUTED, "linestyle": "--", "linewidth": 1.0}
    axes.plot(devices, ideal, label="time halved by twice the devices", **looks)


def _label(axes: Axes, x: Sequence[float], times: Sequence[Estimate], texts: Sequence[str]) -> None:
    looks = {"fontsize": 7.5, "color": style.INK, "path_effects": style.over_lines()}
    for at, time, text in zip(x, times, texts, strict=True):
        axes.annotate(text, (at, time.best), xytext=(4, 6), textcoords="offset points", **looks)


def _mark_knee(axes: Axes, x: float, time: float) -> None:
    looks = {"markersize": 12, "markerfacecolor": "none", "color": style.VERMILION}
    axes.plot([x], [time], "o", label="knee", **looks)
