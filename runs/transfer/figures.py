"""Loss against learning rate for several widths, and the coordinate check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hparam import CoordinateCheck
from runs.compare.figures import PALETTE, spread
from runs.plots import style
from runs.plots.long_names import short_path
from runs.transfer.best_rate import BestRate

# Room above and below the losses, as a power of their range; losses far above those at the first rate are cut off.
ABOVE, BELOW = 0.12, 0.2
HEADINGS = {"standard": "standard parameterization", "muP": "maximal update parameterization (muP)"}


def transfer(
    rates: Sequence[float],
    losses: Mapping[str, Float[np.ndarray, "widths seeds rates"]],
    best: Mapping[str, Sequence[BestRate]],
    setting: str,
    path: str | Path | None = None,
) -> Figure:
    """A panel for each parameterization: mean log loss of every width, light to dark, its seeds as a band.

    Circles mark the best rates, a bar at the bottom their range. Diverged trials have no point.
    """
    figure = style.new_figure(10.2, 4.9)
    title = "Does the best learning rate depend on the width?"
    style.headline(figure, title, style.plain(setting, 110), left=0.075)
    low, high = _limits(losses)
    for i, (name, loss) in enumerate(losses.items()):
        axes = style.add_axes(figure, left=0.075 + 0.485 * i, bottom=0.2, width=0.41, height=0.6)
        style.log_axis(axes.xaxis, "learning rate", rates[0] / 1.3, rates[-1] * 1.3)
        style.log_axis(axes.yaxis, "final loss" if i == 0 else "", low, high)
        axes.set_title(HEADINGS[name], fontsize=10, color=style.INK, loc="left")
        for colour, row, width_loss in zip(_shades(len(loss)), best[name], loss, strict=True):
            _curve(axes, rates, width_loss, row, colour)
        _range(axes, best[name])
    style.legend_of_panels(figure, axes.get_legend_handles_labels()[0], 8, height=0.06)
    return style.save(figure, path)


def _curve(
    axes: Axes, rates: Sequence[float], loss: Float[np.ndarray, "seeds rates"], row: BestRate, colour: Any
) -> None:
    finite = np.isfinite(loss).all(axis=0)
    x, logs = np.asarray(rates)[finite], np.log(loss[:, finite])
    axes.fill_between(x, *np.exp([logs.min(0), logs.max(0)]), color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, np.exp(logs.mean(0)), color=colour, linewidth=1.5, label=f"width {row.width:,}")
    axes.plot(row.rate.best, row.loss, "o", color=colour, markersize=6, markeredgecolor="white", zorder=5)


def _range(axes: Axes, best: Sequence[BestRate]) -> None:
    """A bar from the lowest to the highest best rate, and its length in octaves, at the bottom."""
    found = [row.rate.best for row in best]
    ends, at_bottom = [min(found), max(found)], axes.get_xaxis_transform()
    axes.plot(ends, [0.03] * 2, transform=at_bottom, color=style.INK, linewidth=3.5, solid_capstyle="butt")
    first, last = np.log(axes.get_xlim())
    middle = (np.log(ends).mean() - first) / (last - first)
    text = f"best rates span {np.log2(ends[1] / ends[0]):.1f} octaves"
    axes.text(
        np.clip(middle, 0.25, 0.75),
        0.06,
        text,
        transform=axes.transAxes,
        ha="center",
        va="bottom",
        fontsize=style.SMALL,
        color=style.INK,
    )


def _limits(losses: Mapping[str, Float[np.ndarray, "widths seeds rates"]]) -> tuple[float, float]:
    lowest = min(float(loss.min()) for loss in losses.values())
    start = max(float(loss[..., 0][np.isfinite(loss[..., 0])].max()) for loss in losses.values())
    fall = max(start / lowest, 1.1)
    return lowest / fall**BELOW, start * fall**ABOVE


def _shades(num: int) -> np.ndarray:
    """Light to dark, apart in grey too."""
    return colormaps["viridis_r"](np.linspace(0.12, 1.0, num))


def coordinates(
    checks: Mapping[str, CoordinateCheck], setting: str, path: str | Path | None = None
) -> Figure:
    """Change of each layer's output after the last step against width, a panel for each parameterization.

    The exponents of few layers stand beside their lines. Of many, first layers dark and last ones light, the legend
    has them. Written to `path` if given.
    """
    exponents = [check.exponents() for check in checks.values()]
    layers = list(exponents[0])
    names = layer_names(layers, exponents)
    inch_each = 0.5 + (0.063 if len(layers) <= FEW else 0.055) * max(map(len, names))
    columns = min(6, max(1, int(10 / inch_each)))
    strip = 0.75 + 0.2 * -(-len(layers) // columns)  # inches of the legend and the label above it
    figure = style.new_figure(10.2, 3.6 + strip)
    inches = figure.get_figheight()
    _headline(figure, style.plain(setting, 110))
    changes = [check.change[:, :, -1] for check in checks.values()]
    shown = np.concatenate([change[np.isfinite(change) & (change > 0)] for change in changes])
    colours = layer_colours(len(layers))
    for i, (name, check) in enumerate(checks.items()):
        box = {"left": 0.075 + 0.485 * i, "bottom": strip / inches, "width": 0.41, "height": 2.75 / inches}
        axes = style.add_axes(figure, **box)
        style.batch_axis(axes, check.widths)
        axes.set_xlabel("width", fontsize=10, color=style.INK)
        label = "mean change of an entry" if i == 0 else ""
        style.log_axis(axes.yaxis, label, shown.min() / 1.6, shown.max() * 1.6)
        axes.set_title(HEADINGS[name], fontsize=10, color=style.INK, loc="left")
        last = check.change[:, -1, -1]
        for j, colour in enumerate(colours):
            axes.plot(check.widths, check.change[j, :, -1], "o-", color=colour, markersize=4)
        if len(layers) <= FEW:
            _name_exponents(axes, check.widths[-1], last, list(exponents[i].values()), colours)
    _legend_of_layers(figure, names, colours, columns)
    return style.save(figure, path)


FEW = 8  # layers whose exponents have room beside their lines, and whose colours are told apart


def _headline(figure: Figure, setting: str) -> None:
    """At a fixed distance from the top, whatever the height of the figure."""
    height = figure.get_figheight()
    title = "Coordinate check: how far training moves each layer"
    figure.text(
        0.075, 1 - 0.2 / height, title, fontsize=12.5, fontweight="bold", color=style.INK, va="center"
    )
    figure.text(0.075, 1 - 0.45 / height, setting, fontsize=9.5, color=style.MUTED, va="center")


def layer_colours(num: int) -> list[Any]:
    """Colours of the palette; of more layers than it has, shades in their order."""
    return (
        list(PALETTE[:num])
        if num <= min(FEW, len(PALETTE))
        else list(colormaps["viridis"](np.linspace(0, 0.92, num)))
    )


def layer_names(layers: Sequence[str], exponents: Sequence[Mapping[str, float]]) -> list[str]:
    """Of the legend: with the exponents of each panel, where they do not stand beside the lines."""
    if len(layers) <= FEW:
        return [short_path(layer, 28) for layer in layers]
    found = [", ".join(f"{panel[layer]:+.2f}" for panel in exponents) for layer in layers]
    return [f"{short_path(layer, 32)} ({text})" for layer, text in zip(layers, found, strict=True)]


def _legend_of_layers(figure: Figure, names: Sequence[str], colours: Sequence[Any], columns: int) -> None:
    """In a strip of its own."""
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=4, label=name)
        for colour, name in zip(colours, names, strict=True)
    ]
    look = {"frameon": False, "fontsize": style.SMALL}
    if len(names) > FEW:
        look |= {"fontsize": 7.5, "title": "layer (exponent in each panel)", "title_fontsize": 8}
    figure.legend(handles=handles, ncols=columns, loc="lower center", bbox_to_anchor=(0.5, 0.0), **look)


def _name_exponents(
    axes: Axes, width: int, changes: np.ndarray, exponents: Sequence[float], colours: Sequence[Any]
) -> None:
    """Each exponent beside the last point of its layer, moved apart where they would touch."""
    to_fraction = axes.transData - axes.transAxes
    ends = to_fraction.transform([(width, change if change > 0 else np.nan) for change in changes])
    known = [j for j, end in enumerate(ends) if np.isfinite(end).all()]
    for j, height in zip(known, spread(ends[known, 1], 0.047), strict=True):
        axes.text(
            ends[j, 0] + 0.02,
            height,
            f"{exponents[j]:+.2f}",
            transform=axes.transAxes,
            fontsize=7.5,
            color=colours[j],
            va="center",
        )
