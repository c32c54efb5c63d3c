"""Several optimizers on one workload: steps to the goal, and best rate, against batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import CriticalBatchSize, Optimum, Result
from runs.curve.analysis import Analysis
from runs.plots import style
from runs.plots.long_names import told_apart

# Nine colours of Tol's "muted" scheme, made for colour-blind readers, and three that stay apart from them.
PALETTE = (
    "#332288",
    "#CC6677",
    "#117733",
    "#E69F00",
    "#88CCEE",
    "#882255",
    "#222222",
    "#44AA99",
    "#999933",
    "#AA4499",
    "#888888",
    "#DDCC77",
)
MARKERS = "osD^vP*X<>hp"
# Height that the name of an optimizer needs beside the axes, as a fraction of them.
_LINE = 0.048

Outcomes = Sequence[tuple[Result, Analysis]]


def compare_steps(outcomes: Outcomes, path: str | Path | None = None, *, what: str = "optimizer") -> Figure:
    """Steps to the goal of every optimizer at its own best rates, with its fitted curve where there is one.

    The results may differ in something else, named by `what`. Upright ticks mark critical batch sizes; batch sizes
    at which an optimizer did not reach the goal have no point. Optimizers are named at the right. Written to `path`
    if given.
    """

    def curve(axes: Axes, index: int, colour: str) -> None:
        result, critical = outcomes[index][0], outcomes[index][1].critical
        if critical:
            batch = np.geomspace(result.batch_size.min(), result.batch_size.max(), 100)
            axes.plot(batch, critical.curve(batch).steps, color=colour, linewidth=1.4, zorder=2)
            _mark_critical(axes, critical, colour)

    return _figure(
        outcomes,
        f"Steps to the goal, each {what} at its best rates",
        "optimizer steps to the goal",
        lambda row: row.estimate,
        curve,
        path,
    )


def compare_rates(outcomes: Outcomes, path: str | Path | None = None) -> Figure:
    """The best learning rate of every optimizer; written to `path` if given."""
    peak = "peak " if any(result.schedule for result, _ in outcomes) else ""
    return _figure(
        outcomes,
        f"Best {peak}learning rate of each optimizer",
        f"best {peak}learning rate",
        lambda row: row.learning_rate,
        None,
        path,
    )


def _figure(
    outcomes: Outcomes,
    title: str,
    label: str,
    estimate: Callable[[Optimum], tuple[float, float, float] | None],
    curve: Callable[[Axes, int, str], None] | None,
    path: str | Path | None,
) -> Figure:
    """Points of `estimate` for every optimizer, joined by `curve` or else by straight lines."""
    figure = style.new_figure(8.6, 5.8)
    axes = style.add_axes(figure, left=0.095, bottom=0.1, width=0.68, height=0.755)
    results = [result for result, _ in outcomes]
    first = results[0]
    study = f"{style.plain(first.workload, 30)} · goal: {style.plain(str(first.goal), 30)}"
    if curve and any(outcome.critical for _, outcome in outcomes):
        study += " · upright ticks: critical batch sizes"
    style.headline(figure, title, study, 0.095)
    style.batch_axis(axes, np.concatenate([result.batch_size for result in results]))
    series = []
    for _, outcome in outcomes:
        values = {row.batch_size: estimate(row) for row in outcome.optima}
        rows = [(batch, *value) for batch, value in values.items() if value]
        series.append(np.array(rows, float).reshape(-1, 4))
    for index, points in enumerate(series):
        points[:, 0] *= style.beside(index, len(series))
    bounds = np.concatenate([points[:, 1:] for points in series])
    if len(bounds) == 0:
        style.note(axes, "no optimizer reached the goal at any batch size")
        return style.save(figure, path)
    least, greatest = style.positive_span(bounds)
    style.log_axis(axes.yaxis, label, least / 1.4, greatest * 1.4)
    for index, points in enumerate(series):
        joined = curve is None or outcomes[index][1].critical is None
        _draw_points(axes, points, index, joined)
        if curve:
            curve(axes, index, PALETTE[index % len(PALETTE)])
    _name_series(axes, [result.optimizer for result in results], series)
    return style.save(figure, path)


def _draw_points(axes: Axes, points: np.ndarray, index: int, joined: bool) -> None:
    batch, middle, low, high = points.T
    axes.errorbar(
        batch,
        middle,
        yerr=style.bars(middle, low, high),
        fmt=MARKERS[index % len(MARKERS)],
        color=PALETTE[index % len(PALETTE)],
        markersize=5,
        linestyle="-" if joined else "",
        linewidth=1.1,
        elinewidth=0.9,
        markeredgecolor="white",
        markeredgewidth=0.3,
        zorder=3,
    )


def _mark_critical(axes: Axes, critical: CriticalBatchSize, colour: str) -> None:
    steps = critical.curve(np.array([critical.value])).steps
    axes.plot([critical.value], steps, "|", color=colour, markersize=15, markeredgewidth=2, zorder=4)


def _name_series(axes: Axes, names: Sequence[str], series: Sequence[np.ndarray]) -> None:
    """Names at the right, each led to the last point of its series; those without points say so."""
    to_fraction = axes.transData - axes.transAxes
    ends = [to_fraction.transform(points[-1, :2]) if len(points) else (1.0, -1.0) for points in series]
    heights = spread([end[1] for end in ends], _LINE)
    shown = told_apart(names, 20)
    for index, (name, end, height) in enumerate(zip(shown, ends, heights, strict=True)):
        reached = len(series[index]) > 0
        text = name + ("" if reached else ": no goal")
        if reached:
            _lead(axes, index, end, height)
        axes.text(
            1.068,
            height,
            text,
            transform=axes.transAxes,
            color=style.INK if reached else style.MUTED,
            fontsize=style.SMALL,
            va="center",
        )


def _lead(axes: Axes, index: int, end: Sequence[float] | np.ndarray, height: float) -> None:
    """The line from the last point, at `end` in fractions of the axes, to the marker beside the name."""
    looks = {"transform": axes.transAxes, "color": PALETTE[index % len(PALETTE)], "clip_on": False}
    line = [end[0] + 0.01, 1.02, 1.035], [end[1], height, height]
    axes.plot(*line, linewidth=0.8, alpha=0.6, **looks)
    axes.plot(1.05, height, MARKERS[index % len(MARKERS)], markersize=5, **looks)


def spread(heights: Sequence[float] | np.ndarray, gap: float) -> np.ndarray:
    """The heights moved apart to at least `gap`, in their order, as little upwards as that takes.

    The column starts at 0 and, where it would rise above 1, is pushed back down.
    """
    order = np.argsort(heights, kind="stable")
    placed = np.maximum(np.array(heights, float)[order], 0.0)
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    ceiling = 1.0
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    moved = np.empty_like(placed)
    moved[order] = placed
    return moved
