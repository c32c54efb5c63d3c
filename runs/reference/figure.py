"""A published curve laid over a measured one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lr_batch import Result
from runs.curve.analysis import Analysis
from runs.curve.figures.steps_to_goal import draw_estimates
from runs.plots import style
from runs.reference.distance import Distance
from runs.reference.published import Published


def reference(
    result: Result, outcome: Analysis, known: Published, apart: Distance, path: str | Path | None = None
) -> Figure:
    """Steps to the goal, measured with intervals and published, against batch size; written to `path` if given."""
    figure = style.new_figure(7.2, 5.0)
    axes = style.add_axes(figure, bottom=0.2, height=0.64)
    title = "Measured steps beside published ones"
    style.headline(figure, title, f"{style.study_line(result)} · {known.source}")
    reached = [(*row.estimate, row.batch_size) for row in outcome.optima if row.estimate]
    steps, low, high, sizes = np.array(reached, float).T
    style.batch_axis(axes, sizes.astype(int))
    span = style.positive_span(steps, low, high, apart.published)
    style.log_axis(axes.yaxis, "optimizer steps to the goal", span[0] / 2.6, span[1] * 1.6)
    draw_estimates(axes, outcome.optima, "measured, median at the best rate, with interval")
    axes.plot(
        apart.batch_sizes,
        apart.published,
        "D-",
        color=style.VERMILION,
        markersize=5,
        markerfacecolor="white",
        linewidth=1.1,
        label=f"{known.source}{', moved' if _moved(apart) else ''}, read off the figure",
        zorder=3,
    )
    style.remark(axes, _remark(apart))
    style.legend_below(axes)
    if path is not None:
        style.save(figure, Path(path).with_suffix(".svg"))
    return style.save(figure, path)


def _moved(apart: Distance) -> bool:
    return bool(apart.batch_octaves or apart.steps_octaves)


def _remark(apart: Distance) -> str:
    by = f"median distance {apart.median:.1f} octaves"
    if not _moved(apart):
        return by
    return (
        f"the shape alone: published batch sizes times {style.count(2.0**apart.batch_octaves)}, "
        f"steps times {style.count(2.0**apart.steps_octaves)}; {by}"
    )
