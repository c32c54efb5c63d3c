"""The loss of every trial against each of its hyperparameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hparam.search import FULL
from hparam.tuning.confirm import Finalist
from hparam.tuning.importance import comparable
from hparam.tuning.tune import Tuning
from runs.plots import style
from runs.tune.figures import loss_axis, mark_above, subtitle
from runs.tune.model_figure import unit_axis

IN_A_ROW = 3
WIDTH, HEIGHT = 3.6, 3.1  # of a panel with its labels, in inches


def hyperparameters(tuning: Tuning, path: str | Path | None = None) -> Figure:
    """One panel for each hyperparameter: its value across, the loss upwards; written to `path` if given.

    Dots are trials of one length, triangles at the upper end those beyond it, crosses those that diverged. The answer
    on fresh seeds is the star, settings that cannot be told from it are rings. Where these were trained for longer than
    the dots, they are lines at their values: their losses have no place among the dots'.
    """
    space = tuning.plan.space
    columns, rows = min(len(space), IN_A_ROW), -(-len(space) // IN_A_ROW)
    width, height = max(5.6, 0.6 + WIDTH * columns), 0.75 + HEIGHT * rows
    figure = style.new_figure(width, height)
    style.headline(figure, "The loss against each hyperparameter", subtitle(tuning), 0.62 / width)
    steps, told = comparable(tuning.plan, tuning.state.told)
    loss = np.array([segment.loss for segment in told])
    if not np.isfinite(loss).any():
        axes = style.add_axes(figure)
        style.note(axes, "every trial diverged" if len(told) else "nothing was trained")
        return style.save(figure, path)
    points = space.points([segment.setting for segment in told])
    name = tuning.plan.loss_name_at(steps or tuning.plan.study.max_steps)
    each = (width - 0.6) / columns
    for i in range(len(space)):
        row, column = divmod(i, columns)
        axes = style.add_axes(
            figure,
            left=(0.62 + each * column) / width,
            bottom=(0.95 + HEIGHT * (rows - 1 - row)) / height,
            width=(each - 0.5) / width,
            height=(HEIGHT - 0.95) / height,
        )
        marked = _confirmed(tuning)
        if steps not in (FULL, tuning.plan.study.max_steps):
            _at_values(axes, tuning, i, marked)
            marked = []
        _panel(axes, tuning, i, points[:, i], loss, marked, name if column == 0 else "")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=style.SMALL)
    return style.save(figure, path)


Marked = list[tuple[Finalist, dict[str, Any]]]


def _at_values(axes: Axes, tuning: Tuning, index: int, marked: Marked) -> None:
    """Upright lines, whatever the loss: the answer's whole, the others' dotted."""
    for number, (finalist, _) in reversed([*enumerate(marked)]):
        look = {"linestyle": ":", "linewidth": 1.0} if number else {"linewidth": 1.6}
        labels = {0: "the answer, trained for longer", 1: "perhaps as good"}
        at = _place(tuning, finalist, index)
        axes.axvline(at, color=style.VERMILION, zorder=1, label=labels.get(number), **look)


def _panel(
    axes: Axes, tuning: Tuning, index: int, at: np.ndarray, loss: np.ndarray, marked: Marked, name: str
) -> None:
    heights = [finalist.mean for finalist, _ in marked if finalist.mean is not None]
    alive = np.isfinite(loss)
    ceiling = loss_axis(axes, name, loss[alive], heights)
    axes.scatter(at[alive], loss[alive], s=13, color=style.INK, alpha=0.55, linewidths=0, label="a trial")
    mark_above(axes, at[alive & (loss > ceiling)])
    if not alive.all():
        top = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        look = {"s": 22, "marker": "x", "color": style.VERMILION, "linewidths": 1.1, "label": "diverged"}
        axes.scatter(at[~alive], np.full((~alive).sum(), 0.97), **top, **look)
    for finalist, look in reversed(marked):  # the answer on top
        axes.scatter(_place(tuning, finalist, index), np.mean(finalist.fresh), zorder=4, **look)
    axes.set_xlim(-0.03, 1.03)
    unit_axis(axes.xaxis, tuning, index)


def _confirmed(tuning: Tuning) -> Marked:
    """The answer and what cannot be told from it, with their looks; of the latter the first has the label."""
    found = tuning.answer
    if found is None or found.reaches is None:
        return []
    chosen = next(finalist for finalist in tuning.finalists if finalist.setting == found.setting)
    star = {"s": 90, "marker": "*", "color": style.VERMILION, "edgecolors": "white", "linewidths": 0.6}
    ring = {"s": 30, "facecolors": "none", "edgecolors": style.VERMILION, "linewidths": 1.2}
    marked = [(chosen, star | {"label": "the answer, on fresh seeds"})]
    labels = ["perhaps as good, on fresh seeds", *[None] * len(found.as_good)]
    return marked + [
        (one, ring | {"label": label}) for one, label in zip(found.as_good, labels, strict=False)
    ]


def _place(tuning: Tuning, finalist: Finalist, index: int) -> float:
    values = {name: np.array([value]) for name, value in finalist.setting.items()}
    return float(tuning.plan.space.to_unit(values)[0, index])
