"""What a search has learned: which hyperparameters matter, and the modelled loss over the first two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hparam.gaussian_process import predict
from hparam.tuning.importance import Importance, Surrogate
from hparam.tuning.tune import Tuning
from runs.plots import style
from runs.tune.figures import scale_of, subtitle, unit_ticks

CELLS = 61  # points along each side of a slice


def draw_importance(
    tuning: Tuning, model: Surrogate, shares: Importance, path: str | Path | None = None
) -> Figure:
    """Share of the loss's variance that each hyperparameter explains; written to `path` if given."""
    names = tuning.plan.space.names
    figure = style.new_figure(7.2, 1.9 + 0.55 * len(names))
    height = figure.get_figheight()
    axes = style.add_axes(figure, left=0.19, bottom=0.85 / height, width=0.76, height=1 - 1.6 / height)
    figure.text(
        0.03,
        1 - 0.24 / height,
        "Which hyperparameters matter",
        fontsize=12.5,
        fontweight="bold",
        color=style.INK,
        va="center",
    )
    figure.text(0.03, 1 - 0.5 / height, subtitle(tuning), fontsize=9.5, color=style.MUTED, va="center")
    order = np.argsort(shares.total)
    rows = np.arange(len(names))
    axes.barh(rows, shares.total[order], color=style.SKY, height=0.62, label="with the others")
    axes.barh(rows, shares.alone[order], color=style.BLUE, height=0.34, label="alone")
    axes.set_yticks(rows, [style.plain(names[i], 18) for i in order])
    axes.set_xlim(0, max(1.0, float(shares.total.max())))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    loss_name = style.plain(tuning.plan.loss_name_at(model.steps), 40)
    axes.set_xlabel(f"share of the variance of {loss_name}", fontsize=10)
    axes.legend(frameon=False, fontsize=style.SMALL, loc="lower right")
    return style.save(figure, path)


def model_slice(
    tuning: Tuning, model: Surrogate, shares: Importance, path: str | Path | None = None
) -> Figure:
    """The model over its two most important dimensions, the others at their best; written to `path`."""
    if len(tuning.plan.space) == 1:
        return _line(tuning, model, path)
    across, up = np.argsort(-shares.total, kind="stable")[:2]
    u = np.linspace(0, 1, CELLS)
    points = np.tile(best_point(tuning, model), (CELLS * CELLS, 1))
    points[:, across], points[:, up] = np.tile(u, CELLS), np.repeat(u, CELLS)
    modelled = predict(model.posterior, tuning.plan.space.snap(points))
    mean, std = (values.reshape(CELLS, CELLS) for values in modelled)
    figure = style.new_figure(10.4, 4.8)
    style.headline(figure, title(tuning, model), _where(tuning, model, across, up), 0.08)
    panels = ((0.08, mean, "mean", "viridis_r"), (0.565, std, "standard deviation", "magma_r"))
    for left, values, name, colours in panels:
        axes = style.add_axes(figure, left=left, bottom=0.135, width=0.33, height=0.68)
        shown = axes.contourf(u, u, values, levels=24, cmap=colours)
        scale = figure.add_axes((left + 0.345, 0.135, 0.013, 0.68))
        figure.colorbar(shown, cax=scale).ax.tick_params(labelsize=8)
        axes.set_title(name, fontsize=10, loc="left")
        _draw_trials(axes, model, across, up)
        unit_axis(axes.xaxis, tuning, across)
        unit_axis(axes.yaxis, tuning, up)
    return style.save(figure, path)


def title(tuning: Tuning, model: Surrogate) -> str:
    return f"The model of {style.plain(tuning.plan.loss_name_at(model.steps), 40)}"


def best_point(tuning: Tuning, model: Surrogate) -> np.ndarray:
    """The answer on the unit cube; the best of the model's own trials where the search has none."""
    if tuning.answer:
        best = {name: np.array([value]) for name, value in tuning.answer.setting.items()}
        return tuning.plan.space.to_unit(best)[0]
    return model.cells.points[np.argmin(model.cells.loss)]


def _where(tuning: Tuning, model: Surrogate, across: int, up: int) -> str:
    names = tuning.plan.space.names
    settings = tuning.plan.space.from_unit(best_point(tuning, model)[None])
    others = [f"{name} = {settings[name][0]:.3g}" for i, name in enumerate(names) if i not in (across, up)]
    return " · ".join([subtitle(tuning), *others, "dots: trials, crosses: diverged"])


def _draw_trials(axes: Axes, model: Surrogate, across: int, up: int) -> None:
    alive = np.isfinite(model.cells.loss)
    x, y = model.cells.points[:, across], model.cells.points[:, up]
    axes.scatter(x[alive], y[alive], s=14, color="white", edgecolors=style.INK, linewidths=0.7)
    axes.scatter(x[~alive], y[~alive], s=20, marker="x", color=style.VERMILION, linewidths=1.1)
    best = np.argmin(model.cells.loss)
    star = {"s": 70, "marker": "*", "color": style.VERMILION, "edgecolors": "white", "linewidths": 0.6}
    axes.scatter(x[best], y[best], **star)
    axes.set(xlim=(0, 1), ylim=(0, 1))


def unit_axis(axis: Any, tuning: Tuning, index: int) -> None:
    name, dimension = list(tuning.plan.space.dimensions.items())[index]
    places, texts = zip(*unit_ticks(dimension), strict=True)
    axis.set_ticks(places, texts)
    axis.set_label_text(f"{style.plain(name, 30)} ({scale_of(dimension)})", fontsize=10, color=style.INK)


def _line(tuning: Tuning, model: Surrogate, path: str | Path | None) -> Figure:
    """One dimension: the mean with two standard deviations, and the trials."""
    figure = style.new_figure()
    axes = style.add_axes(figure, bottom=0.21, height=0.64)
    style.headline(figure, title(tuning, model), subtitle(tuning))
    u = np.linspace(0, 1, 4 * CELLS)
    mean, std = predict(model.posterior, tuning.plan.space.snap(u[:, None]))
    band = {"color": style.BLUE, "alpha": 0.18, "linewidth": 0, "label": "two standard deviations"}
    axes.fill_between(u, mean - 2 * std, mean + 2 * std, **band)
    axes.plot(u, mean, color=style.BLUE, linewidth=1.6, label="mean of the model")
    at, loss = model.cells.points[:, 0], model.cells.loss
    alive, ceiling = np.isfinite(loss), float((mean + 2 * std).max())
    axes.scatter(at[alive], loss[alive], s=14, color=style.INK, zorder=3, label="a setting")
    axes.set_ylim(
        axes.get_ylim()[0], max(ceiling, float(np.quantile(loss[alive], 0.9))) + 0.05 * np.ptp(mean)
    )
    top = axes.get_ylim()[1]
    marks = (
        (alive & (loss > top), "^", style.INK, "a setting above"),
        (~alive, "x", style.VERMILION, "diverged"),
    )
    for some, marker, colour, label in marks:
        if some.any():
            look = {"s": 24, "marker": marker, "color": colour, "clip_on": False, "zorder": 4, "label": label}
            axes.scatter(at[some], np.full(some.sum(), 0.985), transform=axes.get_xaxis_transform(), **look)
    axes.set_ylabel(style.plain(tuning.plan.loss_name_at(model.steps), 40), fontsize=10, color=style.INK)
    unit_axis(axes.xaxis, tuning, 0)
    style.legend_below(axes)
    return style.save(figure, path)
