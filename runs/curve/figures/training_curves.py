"""How the held-out metric falls at the fastest setting of every batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lr_batch import DIVERGED, Curve, Result
from lr_batch.engine import averaged
from runs.curve.analysis import Analysis
from runs.plots import style
from runs.plots.cells import Cells


class FastestCurves(NamedTuple):
    """Curves of all seeds of the fastest setting of one batch size; `averages` are what the goal is compared with."""

    batch_size: int
    setting: dict[str, float]
    seeds: tuple[int, ...]
    curves: tuple[Curve, ...]
    averages: tuple[Curve, ...]
    steps_to_goal: tuple[float, ...]


def fastest_curves(result: Result, table: Cells) -> list[FastestCurves]:
    """One entry for each batch size at which some setting reached the goal in most seeds; where there is none at any,
    one for the setting of each that ended nearest to it."""
    row, column = table.trial_cell
    fastest, best = [], table.best()
    for b, s in enumerate(best if (best >= 0).any() else nearest(result, table)):
        trials = np.flatnonzero((row == b) & (column == s))
        if len(trials) == 0:
            continue
        curves = tuple(_after_start(result.curves[i]) for i in trials)
        fastest.append(
            FastestCurves(
                int(table.batch_sizes[b]),
                {name: float(values[s]) for name, values in table.settings.items()},
                tuple(int(seed) for seed in result.seed[trials]),
                curves,
                tuple(Curve(c.steps, averaged(*c, result.time_constant, result.goal.metric)) for c in curves),
                tuple(float(steps) for steps in result.steps_to_goal[trials]),
            )
        )
    return fastest


def nearest(result: Result, table: Cells) -> np.ndarray:
    """Index of the setting that ended nearest to the goal, in the median over seeds; -1 where all diverged."""
    ends = np.full(len(result.curves), np.inf)
    for i, (curve, status) in enumerate(zip(result.curves, result.status, strict=True)):
        if status != DIVERGED and len(curve.values):
            ends[i] = result.goal.sign * curve.values[-1]
    row, column = table.trial_cell
    medians = np.full(table.steps.shape, np.inf)
    for b, s in {*zip(row.tolist(), column.tolist(), strict=True)}:
        medians[b, s] = np.median(ends[(row == b) & (column == s)])
    return np.where(np.isfinite(medians.min(axis=1)), np.argmin(medians, axis=1), -1)


def _after_start(curve: Curve) -> Curve:
    """Without the evaluation at step 0, for which a log axis has no place."""
    started = curve.steps > 0
    return Curve(curve.steps[started], curve.values[started])


def training_curves(result: Result, outcome: Analysis, path: str | Path | None = None) -> Figure:
    """The goal metric against steps (left) and against examples (right), up to the goal.

    Lines are the averages by which the goal is reached, of the seed of median speed; bands hold those of all seeds.
    Batch sizes whose lines coincide on the right scale perfectly; where they coincide on the left, a larger batch
    buys nothing. Dots mark where each seed reaches the goal. Where none does, lines are of the settings that ended
    nearest to it. Written to `path` if given.
    """
    figure = style.new_figure(9.4, 4.8)
    panels = [style.add_axes(figure, left=left, width=0.37) for left in (0.07, 0.49)]
    title = (
        f"Training at the {setting_drawn(result, outcome)}: held-out {style.plain(result.goal.metric, 24)}"
    )
    style.headline(figure, title, style.study_line(result), 0.07)
    draw_training_curves(panels, result, outcome)
    _legend(figure, panels[0])
    return style.save(figure, path)


def setting_drawn(result: Result, outcome: Analysis) -> str:
    """Which setting of each batch size the lines are of."""
    name = "rate" if result.has_rate else "setting"
    reached = (outcome.cells.best() >= 0).any()
    return f"fastest {name}" if reached else f"{name} that ended nearest to the goal"


def draw_training_curves(panels: Sequence[Axes], result: Result, outcome: Analysis) -> None:
    """The same into two given axes: against steps and against examples."""
    fastest = fastest_curves(result, outcome.cells)
    if not fastest:
        style.note(panels[0], "every trial diverged")
        for axes in panels:
            axes.set_axis_off()
        return
    colours = batch_colours(len(fastest))
    _draw_curves(panels[0], fastest, colours, lambda size, steps: steps, result.goal.threshold)
    _draw_curves(panels[1], fastest, colours, result.examples, result.goal.threshold)
    _scale(panels, fastest, result)
    _name_lines(panels[0], fastest, colours)


def batch_colours(num: int) -> list[str]:
    """`num` colours, dark to light with the batch size, without the palest end."""
    return [to_hex(colour) for colour in matplotlib.colormaps["viridis"](np.linspace(0.0, 0.92, num))]


def _draw_curves(
    axes: Axes,
    fastest: list[FastestCurves],
    colours: list[str],
    place: Callable[[int, np.ndarray], np.ndarray],
    threshold: float,
) -> None:
    """All lines as one collection (an artist each would take most of the time), `place(batch size, steps)` across."""
    lines, looks, ends = [], [], []
    for entry, colour in zip(fastest, colours, strict=True):
        of = partial(place, entry.batch_size)
        steps, low, high = seed_band(entry)
        axes.fill_between(of(steps), low, high, color=colour, alpha=0.15, linewidth=0)
        middle = median_seed(entry)
        steps, values = until_goal(entry.averages[middle], entry.steps_to_goal[middle])
        lines.append(np.column_stack([of(steps), values]))
        reached = [steps for steps in entry.steps_to_goal if np.isfinite(steps)]
        looks += [colour] * len(reached)
        ends += of(np.array(reached)).tolist()
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=1.6), autolim=True)
    axes.scatter(ends, [threshold] * len(ends), s=13, c=looks, linewidths=0, zorder=3)


def seed_band(entry: FastestCurves) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, and the least and the greatest average of any seed that has not reached the goal before."""
    curves = [until_goal(*pair) for pair in zip(entry.averages, entry.steps_to_goal, strict=True)]
    steps = np.unique(np.concatenate([curve.steps for curve in curves]))
    table = np.full((len(curves), len(steps)), np.nan)
    for row, curve in zip(table, curves, strict=True):
        known = steps <= curve.steps[-1]
        row[known] = np.interp(np.log(steps[known]), np.log(curve.steps), curve.values)
    return steps, np.nanmin(table, axis=0), np.nanmax(table, axis=0)


def until_goal(curve: Curve, steps_to_goal: float) -> Curve:
    """Up to the first evaluation below the goal: what follows lies on the other batch sizes' lines."""
    if not np.isfinite(steps_to_goal):
        return curve
    end = int(np.searchsorted(curve.steps, steps_to_goal)) + 1
    return Curve(curve.steps[:end], curve.values[:end])


def median_seed(entry: FastestCurves) -> int:
    """Position of the seed in the middle by steps to the goal, those that did not reach it last."""
    return int(np.argsort(entry.steps_to_goal)[(len(entry.curves) - 1) // 2])


def _scale(panels: Sequence[Axes], fastest: list[FastestCurves], result: Result) -> None:
    """The same metric range in both panels; the goal as a line across."""
    low, high, log = metric_range(
        [
            until_goal(*pair)
            for entry in fastest
            for pair in zip(entry.averages, entry.steps_to_goal, strict=True)
        ],
        result.goal.threshold,
    )
    for axes, name in zip(panels, ("optimizer steps", "training examples seen"), strict=True):
        left, right = axes.dataLim.intervalx
        style.log_axis(axes.xaxis, name, max(left, 1) / 1.3, right * 1.3)
        if log:
            style.log_axis(axes.yaxis, "", low, high)
        axes.set_ylim(low, high)
        axes.axhline(
            result.goal.threshold, color=style.VERMILION, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1
        )
        axes.text(
            0.015,
            result.goal.threshold,
            f"goal: {style.plain(str(result.goal), 24)}",
            va="bottom",
            fontsize=style.SMALL,
            transform=axes.get_yaxis_transform(),
            color=style.RUST,
        )
    panels[0].set_ylabel(f"held-out {style.plain(result.goal.metric, 24)}", fontsize=10, color=style.INK)
    panels[1].tick_params(labelleft=False)


def metric_range(curves: Sequence[Curve], threshold: float) -> tuple[float, float, bool]:
    """Limits of an axis that hold every finite value and the goal, and whether it is a log axis.

    An error may be zero at times, for which a log axis has no place; a loss that is negative makes it linear.
    """
    values = np.concatenate([*(curve.values for curve in curves), [threshold]])
    values = values[np.isfinite(values)]
    if values.min() >= 0 and (values > 0).any() and threshold > 0:
        values = values[values > 0]
        return float(values.min() / 1.15), float(values.max() * 1.15), True
    margin = 0.05 * float(np.ptp(values) or 1.0)
    return float(values.min()) - margin, float(values.max()) + margin, False


def _name_lines(axes: Axes, fastest: list[FastestCurves], colours: list[str]) -> None:
    """Nothing that is seen, but what a legend says of the lines, which are one artist."""
    for entry, colour in zip(fastest, colours, strict=True):
        axes.plot([], [], color=colour, linewidth=2, label=f"{entry.batch_size}  at {_rate(entry)}")
    axes.plot([], [], color=style.MUTED, linewidth=1.6, label="median seed")
    axes.add_patch(Rectangle((0, 0), 0, 0, color=style.MUTED, alpha=0.2, linewidth=0, label="all seeds"))


def _legend(figure: Figure, axes: Axes) -> None:
    handles = axes.get_legend_handles_labels()[0]
    if not handles:
        return
    figure.legend(
        handles=handles,
        title="batch size, rate",
        loc="center left",
        bbox_to_anchor=(0.867, 0.49),
        frameon=False,
        fontsize=style.SMALL,
        title_fontsize=9,
        alignment="left",
        handlelength=1.2,
    )


def _rate(entry: FastestCurves) -> str:
    first = " first" if "change.1" in entry.setting else ""
    return f"{entry.setting['learning_rate']:.2g}{first}" if "learning_rate" in entry.setting else "fixed"
