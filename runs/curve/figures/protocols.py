"""The best of the trials beside the minimum of a surface, and the best effective rate, against batch size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import Estimate, Result
from runs.curve.analysis import Analysis
from runs.curve.figures.learning_rate import draw_law_line
from runs.plots import style

BESIDE = 2**0.12  # the two readings stand this factor to either side of their batch size


def protocols(result: Result, outcome: Analysis, path: str | Path | None = None) -> Figure:
    """Left: steps of both readings, and of the chosen trial with other seeds. Right: the best effective rate with its
    law, or the best rate where no momentum was searched. Written to `path` if given."""
    figure = style.new_figure(11.0, 5.0)
    style.headline(figure, "A search read in two ways", style.study_line(result), left=0.065)
    left = style.add_axes(figure, left=0.065, bottom=0.2, width=0.41, height=0.63)
    right = style.add_axes(figure, left=0.565, bottom=0.2, width=0.41, height=0.63)
    draw_protocols((left, right), result, outcome)
    for axes in (left, right):
        style.legend_below(axes)
    return style.save(figure, path)


def draw_protocols(panels: Sequence[Axes], result: Result, outcome: Analysis) -> None:
    """The same into two given axes."""
    _draw_steps(panels[0], result, outcome)
    _draw_rates(panels[1], result, outcome)


def _draw_steps(axes: Axes, result: Result, outcome: Analysis) -> None:
    assert outcome.protocols
    best = [row for row in outcome.protocols.best if row.steps]
    found = [row for row in outcome.optima if row.estimate]
    style.batch_axis(axes, result.batch_size)
    numbers = [row.steps for row in best] + [row.estimate for row in found]
    low, high = style.positive_span(*numbers)
    style.log_axis(axes.yaxis, "optimizer steps to the goal", low / 1.4, high * 1.4)
    if not numbers:
        return style.note(axes, "no batch size reached the goal")
    sizes = np.array([row.batch_size for row in best], float)
    _points(
        axes,
        sizes * BESIDE,
        [row.steps for row in best],
        style.VERMILION,
        "s",
        "fastest of the trials (Shallue et al., 2019)",
    )
    again = [row.steps.best * row.optimism.best for row in best if row.steps and row.optimism]
    if again:
        axes.plot(
            [row.batch_size * BESIDE for row in best if row.optimism],
            again,
            "_",
            color=style.VERMILION,
            markersize=9,
            label="the same with other seeds, at least",
        )
    _points(
        axes,
        np.array([row.batch_size for row in found], float) / BESIDE,
        [row.estimate for row in found],
        style.BLUE,
        "o",
        "minimum of a smooth surface",
    )


def _draw_rates(axes: Axes, result: Result, outcome: Analysis) -> None:
    assert outcome.protocols
    effective = any(row.effective_rate for row in outcome.optima)
    rows = [
        (row.batch_size, row.effective_rate if effective else row.learning_rate) for row in outcome.optima
    ]
    rows = [(size, rate) for size, rate in rows if rate]
    law = outcome.protocols.law if effective else outcome.law
    name = "best effective rate, rate / (1 - momentum)" if effective else f"best {result.rate_name}"
    style.batch_axis(axes, result.batch_size)
    low, high = style.positive_span(*(rate for _, rate in rows))
    style.log_axis(axes.yaxis, name, low / 2, high * 2)
    if not rows:
        return style.note(axes, "no batch size has a best rate")
    _points(
        axes,
        np.array([s for s, _ in rows], float),
        [r for _, r in rows],
        style.BLUE,
        "o",
        "with 90% interval",
    )
    if law:
        draw_law_line(axes, law)
    else:
        style.remark(axes, f"no law: {outcome.protocols.refusal}" if effective else outcome.no_law)


def _points(
    axes: Axes,
    x: np.ndarray,
    estimates: Sequence[Estimate | None],
    colour: str,
    marker: str,
    label: str,
) -> None:
    if not len(x):
        return
    best, low, high = np.array(estimates, float).T
    look = {"fmt": marker, "color": colour, "capsize": 3, "elinewidth": 1.3, "label": label, "zorder": 3}
    style.estimates(axes, x, best, low, high, **look)
