"""Steps to the goal against batch size: perfect scaling, the knee, the plateau."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import CriticalBatchSize, Estimate, Optimum, Result
from runs.curve.analysis import Analysis
from runs.curve.words import batch, batch_estimate, batch_span, critical_batch, middle_words
from runs.plots import style

# Colour, and names from long to short: the first that fits is written.
_REGIMES = (
    ("#cfe3f1", "perfect scaling", "perfect"),
    ("#e6ecf1", "diminishing returns", "diminishing"),
    ("#f4e3d7", "maximal data parallelism", "maximal"),
)
_CHARACTER = 0.0735  # inches, of a regime's name

LETTER = 0.062  # inches: of one in the name of the critical batch size


def steps_to_goal(result: Result, outcome: Analysis, path: str | Path | None = None) -> Figure:
    """Points with intervals, the fitted curve with its band, its two asymptotes, the critical batch size.

    Without a fit the points are drawn alone, and a remark says why there is none.
    Written to `path` (PNG, say) and next to it as SVG, if given.
    """
    figure = style.new_figure(7.2, 5.2)
    axes = style.add_axes(figure, bottom=0.2, height=0.63)
    style.headline(figure, "Steps to the goal against batch size", style.study_line(result))
    draw_steps_to_goal(axes, result, outcome)
    style.legend_below(axes)
    if path is not None:
        style.save(figure, Path(path).with_suffix(".svg"))
    return style.save(figure, path)


def draw_steps_to_goal(axes: Axes, result: Result, outcome: Analysis) -> None:
    """The same into given axes; the names of the regimes stand in a strip above them."""
    optima, critical = outcome.optima, outcome.critical
    style.batch_axis(axes, result.batch_size)
    style.log_axis(axes.yaxis, "optimizer steps to the goal", *steps_range(optima, critical))
    _draw_points(axes, optima)
    _draw_failures(axes, optima)
    if critical:
        _draw_fit(axes, critical)
    else:
        style.remark(axes, outcome.no_critical)
    if outcome.noise:
        _draw_noise_scale(axes, outcome.noise)


def seed_points(optima: Sequence[Optimum]) -> np.ndarray:
    """Rows (batch_size, seed, steps at the best rate) of the seeds that reached the goal."""
    rows = [(row.batch_size, *pair) for row in optima for pair in zip(row.seeds, row.seed_steps, strict=True)]
    table = np.array(rows, float).reshape(-1, 3)
    return table[np.isfinite(table[:, 2])]


def steps_range(optima: Sequence[Optimum], critical: CriticalBatchSize | None) -> tuple[float, float]:
    """Limits of the y-axis: all that is drawn, and room for two lines of text below it."""
    intervals = [bound for row in optima for bound in row.estimate or ()]
    bounds = [2 * row.low for row in optima if row.steps is None and row.low]
    fewest = [critical.s_min] if critical else []
    low, high = style.positive_span(intervals, bounds, seed_points(optima)[:, 2], fewest)
    return low / 2.3, high * 1.6


def _draw_points(axes: Axes, optima: Sequence[Optimum]) -> None:
    batch, _, steps = seed_points(optima).T
    if len(steps):
        axes.plot(
            batch * style.BESIDE,
            steps,
            "o",
            color=style.INK,
            markersize=3.2,
            alpha=0.35,
            markeredgewidth=0,
            label="each seed",
            zorder=3,
        )
    draw_estimates(axes, optima, f"{middle_words(optima)}, with interval")


def draw_estimates(axes: Axes, optima: Sequence[Optimum], label: str) -> None:
    """Steps at the best rate with their intervals, of the batch sizes that reached the goal."""
    reached = [(row.batch_size, row.steps, row.low, row.high) for row in optima if row.steps is not None]
    if not reached:
        return
    batch, steps, low, high = np.array(reached).T
    looks = {"color": style.BLUE, "markersize": 5.5, "capsize": 3, "elinewidth": 1.3}
    axes.errorbar(batch, steps, yerr=style.bars(steps, low, high), fmt="o", label=label, zorder=4, **looks)


def _draw_failures(axes: Axes, optima: Sequence[Optimum]) -> None:
    """An arrow upwards from a lower bound; a cross at the top where nothing is known."""
    censored = [(row.batch_size, row.low) for row in optima if row.steps is None and row.low]
    if censored:
        batch, low = np.array(censored, float).T
        axes.vlines(batch, low, 1.5 * low, color=style.VERMILION, linewidth=1.5, zorder=4)
        axes.plot(
            batch,
            1.5 * low,
            "^",
            color=style.VERMILION,
            markersize=6,
            zorder=4,
            label="goal not reached: more steps than this",
        )
    diverged = [row.batch_size for row in optima if row.steps is None and not row.low]
    if diverged:
        axes.plot(
            diverged,
            [0.96] * len(diverged),
            "x",
            transform=axes.get_xaxis_transform(),
            color=style.VERMILION,
            markersize=7,
            label="every trial diverged",
        )


def _draw_fit(axes: Axes, critical: CriticalBatchSize) -> None:
    """The curve with its band, both asymptotes, the critical batch size with its interval, the regimes."""
    batch = np.geomspace(*axes.get_xlim(), 200)
    band = critical.curve(batch)
    axes.fill_between(batch, band.low, band.high, color=style.BLUE, alpha=0.16, linewidth=0)
    axes.plot(batch, band.steps, color=style.BLUE, linewidth=1.6, label=curve_text(critical))
    dashed = {"color": style.MUTED, "linewidth": 1.1, "linestyle": (0, (5, 3)), "zorder": 1.5}
    axes.plot(batch, critical.e_min / batch, **dashed)
    axes.plot(batch, np.full_like(batch, critical.s_min), **dashed)
    left, right = axes.get_xlim()
    late = critical.value > np.sqrt(left * right)  # Then there is more room for names on its left.
    _name_slope(
        axes,
        critical,
        left,
        "perfect scaling: twice the batch, half the steps" if late else "perfect scaling",
    )
    _name_plateau(axes, critical, late)
    _mark_critical(axes, critical, late)
    _name_regimes(axes, critical, left, right)


def noise_bounds(noise: Mapping[str, Any], left: float, right: float) -> tuple[float, float, float]:
    """A noise scale and its ends, cut at the ends of an axis; null is without end."""
    best, low, high = (
        float("inf") if noise[name] is None else noise[name] for name in ("best", "low", "high")
    )
    return min(max(best, left), right), min(max(low, left), right), min(max(high, left), right)


def _draw_noise_scale(axes: Axes, noise: Mapping[str, Any]) -> None:
    """A diamond with its interval at the foot of the axes: a prediction of the critical batch size."""
    best, low, high = noise_bounds(noise, *axes.get_xlim())
    axes.errorbar(
        [best],
        [0.13],
        xerr=[[best - low], [high - best]],
        fmt="D",
        transform=axes.get_xaxis_transform(),
        color=style.PURPLE,
        markersize=5.5,
        capsize=3,
        zorder=4,
        label=f"noise scale $B_{{simple}}$, {noise['level']:.0%} interval",
    )


def curve_text(critical: CriticalBatchSize) -> str:
    """The fitted form in words."""
    if critical.sharpness == 1:
        return "fitted hyperbola"
    return f"fitted curve, sharpness {critical.sharpness:.2g}"


def _name_slope(axes: Axes, critical: CriticalBatchSize, left: float, name: str) -> None:
    """Writes below the line of slope -1, along it; nothing where that lies below the axis."""
    start, bottom = left * 1.25, axes.get_ylim()[0]
    if critical.e_min / (2 * start) < 1.5 * bottom:
        return
    ends = axes.transData.transform(
        [(start, critical.e_min / start), (2 * start, critical.e_min / start / 2)]
    )
    angle = np.degrees(np.arctan2(*(ends[1] - ends[0])[::-1]))
    axes.annotate(
        name,
        (start, critical.e_min / start),
        (-9, -13),
        textcoords="offset points",
        rotation=angle,
        zorder=5,
        rotation_mode="anchor",
        va="top",
        fontsize=style.SMALL,
        color=style.MUTED,
        path_effects=style.over_lines(),
    )


def _name_plateau(axes: Axes, critical: CriticalBatchSize, late: bool) -> None:
    axes.annotate(
        f"fewest: {style.count(critical.s_min)} steps",
        (0.012 if late else 0.988, critical.s_min),
        (0, 3 if late else -14),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="left" if late else "right",
        va="bottom" if late else "top",
        fontsize=style.SMALL,
        color=style.MUTED,
        path_effects=style.over_lines(),
        zorder=5,
    )


def _mark_critical(axes: Axes, critical: CriticalBatchSize, late: bool) -> None:
    """Line and shaded interval, cut at the ends of the axis; named below the curve, or above it."""
    left, right = axes.get_xlim()
    low, high = np.clip([critical.low, critical.high], left, right)
    axes.axvspan(low, high, color=style.VERMILION, alpha=0.13, linewidth=0, zorder=0)
    if left < critical.value < right:
        axes.axvline(critical.value, color=style.VERMILION, linewidth=1.4, zorder=1.5)
    text = critical_text(critical)
    # Beside the interval where there is room, else over it: never over the ticks
    beside = np.log(low / left if late else right / high) / np.log(right / left) - 0.01
    needed = LETTER * max(map(len, text.splitlines())) / style.inches(axes)
    along = min(max(beside, needed), 1.0)
    axes.text(
        along if late else 1.0 - along,
        0.025 if late else 0.975,
        text,
        transform=axes.transAxes,
        ha="right" if late else "left",
        va="bottom" if late else "top",
        fontsize=style.SMALL,
        color=style.RUST,
        path_effects=style.over_lines(),
        zorder=5,
    )


def critical_text(critical: CriticalBatchSize) -> str:
    """The critical batch size in two lines of words."""
    estimate = Estimate(critical.value, critical.low, critical.high)
    if not critical.test.fits:
        until = batch_estimate(critical.measured.linear_until, critical.range)
        return f"linear scaling within 20% until {until}\nthe fitted curve does not hold: {critical_batch(critical)}"
    unsure = "" if critical.reliable else " (unreliable)"
    size, span = batch(critical.value, critical.range), batch_span(estimate, critical.range)
    return f"critical batch size {size}{unsure}\n{critical.level:.0%} interval {span}"


def _name_regimes(axes: Axes, critical: CriticalBatchSize, left: float, right: float) -> None:
    """A strip above the axes: where perfect scaling ends and where the plateau begins."""
    bounds = np.clip(
        [left, critical.regimes.perfect_scaling_until.best, critical.regimes.flat_from.best, right],
        left,
        right,
    )
    for start, end, (colour, *names) in zip(bounds, bounds[1:], _REGIMES, strict=False):
        axes.axvspan(start, end, 1.012, 1.05, color=colour, linewidth=0, clip_on=False)
        share = np.log(end / start) / np.log(right / left)
        name = next((name for name in names if _CHARACTER * len(name) < share * style.inches(axes)), "")
        axes.text(
            np.sqrt(start * end),
            1.03,
            name,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="center",
            fontsize=7.5,
            color=style.INK,
        )
