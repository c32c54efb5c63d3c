"""The figure of the headline: best rate, steps, and critical batch size beside noise scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import Estimate, Optimum, Result
from runs.curve.analysis import Analysis
from runs.plots import style

LOOKS = {
    "sgd": (style.BLUE, "o"),
    "momentum": (style.ORANGE, "s"),
    "adamw": (style.GREEN, "D"),
    "muon": (style.PURPLE, "^"),
    "soap": (style.VERMILION, "v"),
}
# In the summary of a noise scale: over the whole training, and at its end in several norms.
SCALES = {
    "mean_simple": "B_simple",
    "curved": "B_noise, with curvature",
    "sign": "sign-like",
    "spectral": "spectral",
}
SHORT = ("measured", "B_simple", "B_noise", "sign", "spectral")
Outcomes = Mapping[str, tuple[Result, Analysis]]


def draw(outcomes: Outcomes, noise: Mapping[str, Mapping[str, Any]], path: Path) -> Figure:
    """Three panels, with one legend of the optimizers below them."""
    figure = style.new_figure(14.0, 5.4)
    result = next(iter(outcomes.values()))[0]
    seeds = len(np.unique(result.seed))
    style.headline(
        figure,
        "Which rate and how many steps each batch size wants",
        f"{style.plain(result.workload, 30)} · goal: {style.plain(str(result.goal), 30)} · {seeds} seeds · 90% intervals",
        left=0.055,
    )
    places = [
        style.add_axes(figure, left=left, bottom=0.2, width=0.265, height=0.6)
        for left in (0.055, 0.385, 0.715)
    ]
    _rates(places[0], outcomes)
    _steps(places[1], outcomes)
    _scales(places[2], outcomes, noise)
    style.legend_of_panels(figure, places[0].get_legend_handles_labels()[0], 5)
    return style.save(figure, path)


def _points(axes: Axes, name: str, rows: Sequence[tuple[float, ...]]) -> None:
    colour, marker = LOOKS[name]
    x, *ends = np.array(rows).T
    style.estimates(axes, x, *ends, fmt=marker, color=colour, elinewidth=0.9, label=name)


def _rates(axes: Axes, outcomes: Outcomes) -> None:
    series = _series(axes, "best learning rate", outcomes, lambda optimum: optimum.learning_rate)
    for name, rows in series.items():
        if law := outcomes[name][1].law:
            batch = np.geomspace(rows[0][0], rows[-1][0], 60)
            axes.plot(batch, law.rate(batch), color=LOOKS[name][0], linewidth=1.3)


def _steps(axes: Axes, outcomes: Outcomes) -> None:
    for name in _series(axes, "optimizer steps to the goal", outcomes, lambda optimum: optimum.estimate):
        if critical := outcomes[name][1].critical:
            colour, at = LOOKS[name][0], np.array([critical.value])
            batch = np.geomspace(*critical.range, 60)
            axes.plot(batch, critical.curve(batch).steps, color=colour, linewidth=1.3)
            axes.plot(at, critical.curve(at).steps, "|", color=colour, markersize=15, markeredgewidth=2)


def _series(
    axes: Axes, label: str, outcomes: Outcomes, of: Callable[[Optimum], Estimate | None]
) -> dict[str, list[tuple[float, ...]]]:
    """Draws an estimate of every optimizer against the batch size; rows (batch size, best, low, high) of those that have
    any."""
    series = {
        name: [(optimum.batch_size, *estimate) for optimum in outcome.optima if (estimate := of(optimum))]
        for name, (_, outcome) in outcomes.items()
    }
    series = {name: rows for name, rows in series.items() if rows}
    _axes(axes, label, outcomes, list(series.values()))
    for name, rows in series.items():
        _points(axes, name, rows)
    return series


def _axes(axes: Axes, label: str, outcomes: Outcomes, series: Sequence[Sequence[tuple[float, ...]]]) -> None:
    style.batch_axis(axes, np.concatenate([result.batch_size for result, _ in outcomes.values()]))
    low, high = style.positive_span(*(np.array(rows)[:, 1:] for rows in series))
    style.log_axis(axes.yaxis, label, low / 1.4, high * 1.4)


def _scales(axes: Axes, outcomes: Outcomes, noise: Mapping[str, Mapping[str, Any]]) -> None:
    """The measured critical batch sizes in the first column, a noise scale in each of the others."""
    columns: dict[str, list[tuple[float, float, float, float]]] = {}
    for number, (name, (_, outcome)) in enumerate(outcomes.items()):
        beside = 0.13 * (number - (len(outcomes) - 1) / 2)
        critical, found = outcome.critical, noise.get(name, {}).get("scales", {})
        rows = [(beside, critical.value, critical.low, critical.high)] if critical else []
        for column, key in enumerate(SCALES, 1):
            scale = found.get(key)
            if scale and scale["best"] is not None:
                high = math.inf if scale["high"] is None else scale["high"]
                rows.append((column + beside, scale["best"], scale["low"], high))
        columns[name] = rows
    shown = [np.array(rows)[:, 1:] for rows in columns.values() if rows]
    low, high = style.positive_span(*shown)
    style.log_axis(axes.yaxis, "critical batch size or noise scale (examples)", low / 2, high * 2)
    for name, rows in columns.items():
        if rows:
            _points(axes, name, rows)
    axes.set_xticks(range(len(SHORT)), SHORT, fontsize=style.SMALL)
    axes.set_xlim(-0.6, len(SHORT) - 0.4)
    axes.axvline(0.5, color=style.MUTED, linewidth=0.8)
