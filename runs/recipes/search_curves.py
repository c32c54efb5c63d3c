"""What repeated searches found against what they spent, as a figure and as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from runs.plots import style
from runs.recipes.search_benchmark import interval
from runs.recipes.search_on_digits import BATCH_SIZE, BUDGET, Method, Ratio, Run, best_at, of_method


def report(
    stem: Path,
    title: str,
    workload: str,
    methods: Sequence[Method],
    runs: list[Run],
    ratios: Mapping[str, Ratio],
) -> None:
    """Saves the figure as `STEM-WORKLOAD.png` and prints the ratios, each with what it compares."""
    figure = draw(title, workload, {method: of_method(runs, method) for method in methods})
    style.save(figure, stem.with_name(f"{stem.name}-{workload}.png"))
    for what, ratio in ratios.items():
        print(f"{workload} {what}: {ratio}")


def draw(title: str, workload: str, runs: Mapping[Method, list[Run]]) -> Figure:
    """Geometric mean of the best full-length loss so far with its 90 % interval, against cost."""
    figure = style.new_figure(7.2, 4.8)
    axes = style.add_axes(figure, bottom=0.21, height=0.64)
    setting = f"{workload} · adamw, four hyperparameters · batch size {BATCH_SIZE}, {BUDGET} steps"
    style.headline(figure, title, f"{setting} · {min(map(len, runs.values()))} repeats")
    drawn = []
    for method, mine in runs.items():
        cost = np.unique(np.concatenate([run.cost for run in mine]))
        logs = np.log([best_at(run, cost) for run in mine])
        known = np.isfinite(logs).all(axis=0)  # before that some repeat has no trial of full length
        cost, logs = cost[known], logs[:, known]
        band = np.exp(interval(logs))
        axes.fill_between(cost, *band, color=method.color, alpha=0.18, linewidth=0)
        look = {"color": method.color, "marker": "o", "markersize": 3}
        axes.plot(cost, np.exp(logs.mean(axis=0)), label=method.name, **look)
        drawn.append(band)
    limits = np.concatenate(drawn, axis=1)
    label = f"cost in full-length trials of {BUDGET * BATCH_SIZE:,} examples"
    axes.set_xlabel(label, fontsize=10, color=style.INK)
    style.log_axis(axes.yaxis, "best held-out loss so far", limits.min() / 1.05, limits.max() * 1.05)
    style.legend_below(axes)
    return figure
