"""A search as figures: its best loss against its cost, and its settings side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import matplotlib
import matplotlib.colors
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hparam import Dimension
from hparam.tuning.importance import comparable
from hparam.tuning.tune import Tuning, steps_of
from runs.plots import style

MAX_NAMED = 4  # lengths of training in a legend
SEEN = 10.0  # times the answer that its interval is drawn at most, on a log axis: that of two seeds may have no end
# The label of a tick, on an axis that lines cross.
_LABEL = {
    "fontsize": style.SMALL,
    "color": style.INK,
    "va": "center",
    "zorder": 4,
    "bbox": {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "boxstyle": "square,pad=0.1"},
}


class Rows(NamedTuple):
    """All segments of a search in the order of its proposals; `cost` in examples up to the end of each."""

    cost: Float[np.ndarray, " rows"]
    loss: Float[np.ndarray, " rows"]
    steps: Int[np.ndarray, " rows"]


def rows_of(tuning: Tuning) -> Rows:
    budget, batch_size = tuning.plan.study.max_steps, tuning.plan.study.batch_sizes[0]
    spent = np.concatenate([steps_of(told.proposal, budget) for told in tuning.rounds] or [[]])
    loss = np.concatenate([told.losses for told in tuning.rounds] or [[]])
    steps = np.concatenate([told.proposal.steps for told in tuning.rounds] or [np.zeros(0, int)])
    return Rows(np.cumsum(spent) * batch_size, loss, np.where(steps == 0, budget, steps))


def subtitle(tuning: Tuning) -> str:
    """Which search of which study, fit to be drawn."""
    study = tuning.plan.study
    names = f"{style.plain(study.workload.name, 24)} · {style.plain(study.optimizer_name, 24)}"
    return f"{names} · batch size {study.batch_sizes[0]} · {tuning.plan.search}"


def best_so_far(tuning: Tuning, path: str | Path | None = None) -> Figure:
    """The lowest loss so far against the examples spent, a line for each length of training; dots are trials.

    The band is what the answer reaches on fresh seeds, with its 90 % interval. Written to `path` if given.
    """
    figure = style.new_figure()
    axes = style.add_axes(figure, bottom=0.21, height=0.64)
    style.headline(figure, "The best setting so far", subtitle(tuning))
    rows = rows_of(tuning)
    alive = np.isfinite(rows.loss)
    if not alive.any():
        style.note(axes, "every trial diverged" if len(rows.loss) else "nothing was trained")
        return style.save(figure, path)
    lengths = np.unique(rows.steps)
    shades = np.linspace(0.85, 0.2, len(lengths)) if len(lengths) > 1 else [0.25]
    colours = matplotlib.colormaps["viridis"](shades)
    named = lengths[::-1][:: -(-len(lengths) // MAX_NAMED)]
    for steps, colour in zip(lengths, colours, strict=True):
        mine = alive & (rows.steps == steps)
        axes.scatter(rows.cost[mine], rows.loss[mine], s=12, color=colour, alpha=0.5, linewidths=0)
        best = np.minimum.accumulate(np.where(mine, rows.loss, np.inf))
        axes.step(
            rows.cost[np.isfinite(best)],
            best[np.isfinite(best)],
            where="post",
            color=colour,
            linewidth=1.7,
            label=_label(steps, named),
        )
    answer = _draw_answer(axes, tuning)
    axes.set_xlim(0, rows.cost[-1] * 1.02)
    axes.xaxis.set_major_formatter(lambda value, _: style.compact(value))
    axes.set_xlabel("training examples spent", fontsize=10, color=style.INK)
    metric = f"held-out {tuning.plan.study.goal.metric}"
    ceiling = loss_axis(
        axes, tuning.plan.loss_name if len(lengths) == 1 else metric, rows.loss[alive], answer
    )
    worse = alive & (rows.loss > ceiling)
    mark_above(axes, rows.cost[worse])
    _name_trials(axes)
    style.legend_below(axes)
    return style.save(figure, path)


def mark_above(axes: Axes, x: np.ndarray) -> None:
    """Trials beyond the upper end of the axis, at it."""
    if len(x):
        at_top = axes.get_xaxis_transform()
        look = {"s": 14, "color": style.MUTED, "linewidths": 0, "clip_on": False, "label": "a trial above"}
        axes.scatter(x, np.full(len(x), 1.0), marker="^", transform=at_top, **look)


def _name_trials(axes: Axes) -> None:
    axes.scatter([], [], s=12, color=style.MUTED, linewidths=0, label="a trial")


def _label(steps: int, named: np.ndarray) -> str | None:
    if len(named) == 1:
        return "best so far"
    return f"best at step {steps:,}" if steps in named else None


def _draw_answer(axes: Axes, tuning: Tuning) -> list[float]:
    """The heights that have to be on the axis."""
    found = tuning.answer
    if found is None or found.reaches is None:
        return []
    label = f"the answer on {found.seeds} fresh seeds, with interval"
    axes.axhline(found.reaches.best, color=style.VERMILION, linewidth=1.2, linestyle=(0, (4, 2)), label=label)
    below, above = style.bars(*map(np.asarray, found.reaches))
    axes.axhspan(
        found.reaches.best - below, found.reaches.best + above, color=style.VERMILION, alpha=0.15, linewidth=0
    )
    return [*found.reaches]


def loss_axis(axes: Axes, label: str, losses: np.ndarray, also: list[float]) -> float:
    """An axis from the best loss to the ninth decile, so that a few bad trials do not flatten the rest.

    It is longer where `also` has heights beyond: the answer, and the ends of its interval as far as `SEEN`. Returns its
    upper end.
    """
    low, high = float(losses.min()), float(np.quantile(losses, 0.9))
    if low > 0 and not any(value <= 0 for value in also[:1]):
        inside = [low, high, *(float(np.clip(value, also[0] / SEEN, also[0] * SEEN)) for value in also)]
        low, high = min(inside) / 1.15, max(*inside, 1.2 * min(inside)) * 1.15
        style.log_axis(axes.yaxis, style.plain(label, 40), low, high)
        return high
    low, high = min(low, *also, high), max(high, *also, low)
    margin = 0.05 * (high - low) + 1e-12
    axes.set_ylim(low - margin, high + margin)
    axes.set_ylabel(style.plain(label, 40), fontsize=10, color=style.INK)
    return high + margin


def parallel_coordinates(tuning: Tuning, path: str | Path | None = None) -> Figure:
    """One line for each trial through its hyperparameters to its loss, the best darkest; diverged ones grey.

    The loss axis is the rank, so that close ones stay apart. Written to `path` if given.
    """
    space = tuning.plan.space
    figure = style.new_figure(max(5.6, 2.2 + 1.9 * len(space)), 4.8)
    left = 0.9 / figure.get_figwidth()
    axes = style.add_axes(figure, left=left, bottom=0.17, width=0.9 - left, height=0.66)
    style.headline(figure, "Settings and what became of them", subtitle(tuning), left)
    steps, told = comparable(tuning.plan, tuning.state.told)
    if not told:
        style.note(axes, "nothing was trained")
        return style.save(figure, path)
    loss = np.array([segment.loss for segment in told])
    points = space.points([segment.setting for segment in told])
    order = np.argsort(-loss, kind="stable")  # the best is drawn last, on top
    alive = np.isfinite(loss)
    rank = np.where(alive, np.argsort(np.argsort(loss)) / max(alive.sum() - 1, 1), 1.06)
    lines = np.stack(
        [
            np.broadcast_to(np.arange(len(space) + 1), (len(told), len(space) + 1)),
            np.column_stack([points, 1 - rank]),
        ],
        axis=2,
    )[order]
    colours = matplotlib.colormaps["viridis"](rank[order])
    colours[~alive[order]] = matplotlib.colors.to_rgba(style.FAINT)
    axes.add_collection(LineCollection(list(lines), colors=colours, linewidths=1.0, alpha=0.8))
    axes.add_collection(LineCollection([lines[-1]], colors=style.VERMILION, linewidths=2.4))
    _label_axes(axes, tuning, np.sort(loss[alive]), steps)
    return style.save(figure, path)


def _label_axes(axes: Axes, tuning: Tuning, losses: np.ndarray, steps: int) -> None:
    dimensions = tuning.plan.space.dimensions
    axes.set(xlim=(-0.35, len(dimensions) + 0.45), ylim=(-0.13, 1.1), yticks=[])
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    loss_name = style.plain(tuning.plan.loss_name_at(steps or tuning.plan.study.max_steps), 28)
    names = [f"{style.plain(name, 22)}\n{scale_of(dimension)}" for name, dimension in dimensions.items()]
    axes.set_xticks(range(len(names) + 1), [*names, f"{loss_name}\nby rank"], fontsize=9.5)
    for i, dimension in enumerate(dimensions.values()):
        axes.axvline(i, color=style.MUTED, linewidth=0.8)
        for u, text in unit_ticks(dimension):
            axes.text(i - 0.04, u, text, ha="right", **_LABEL)
    axes.axvline(len(dimensions), color=style.MUTED, linewidth=0.8)
    for quantile in (0.0, 0.25, 0.5, 0.75, 1.0) if len(losses) else ():
        value = losses[round(quantile * (len(losses) - 1))]
        axes.text(len(dimensions) + 0.04, 1 - quantile, f"{value:.3g}", **_LABEL)
    if len(losses) < len(comparable(tuning.plan, tuning.state.told)[1]):
        axes.text(len(dimensions) + 0.04, -0.06, "diverged", **_LABEL)


def scale_of(dimension: Dimension) -> str:
    """How an axis is divided, in words."""
    kind = dimension.text.partition("(")[0]
    return {"log": "log scale", "log1m": "log scale of 1 - value", "linear": "linear scale"}.get(
        kind, "each value"
    )


ROUND = (1.0, 2.0, 5.0)


def unit_ticks(dimension: Dimension, most: int = 6) -> list[tuple[float, str]]:
    """Places on the unit interval and the round values there; of a discrete range its own values."""
    if dimension.cells is not None:
        places = dimension.levels(most)
        return [
            (float(u), dimension.label(v)) for u, v in zip(places, dimension.from_unit(places), strict=True)
        ]
    low, high = (float(end) for end in dimension.from_unit(np.array([0.0, 1.0])))
    values = _round_values(dimension.text.partition("(")[0], low, high, most)
    places = dimension.to_unit(np.array(values))
    return [(float(u), style.compact(value)) for u, value in zip(places, values, strict=True)]


def _round_values(kind: str, low: float, high: float, most: int) -> list[float]:
    """At least two round values from `low` to `high`; its ends where there are no two."""
    if kind == "linear":
        inside = [
            float(v)
            for v in MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
            if low <= v <= high
        ]
        return inside if len(inside) > 1 else [low, high]
    ends = (low, high) if kind == "log" else (1 - high, 1 - low)
    powers = range(math.floor(math.log10(ends[0])), math.ceil(math.log10(ends[1])) + 1)
    for digits in (ROUND, ROUND[:1]):
        inside = [digit * 10.0**p for p in powers for digit in digits]
        inside = [v for v in inside if ends[0] * (1 - 1e-9) <= v <= ends[1] * (1 + 1e-9)]
        if len(inside) <= most:
            break
    inside = inside[:: -(-len(inside) // most)] if len(inside) > 1 else list(ends)
    values = inside if kind == "log" else [1 - v for v in reversed(inside)]
    return [float(f"{min(max(v, low), high):.6g}") for v in values]
