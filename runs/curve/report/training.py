"""The averaged held-out metric at the fastest setting of every batch size, against steps and against examples."""

from __future__ import annotations

import numpy as np

from lr_batch import Result
from runs.curve.analysis import Analysis
from runs.curve.figures.training_curves import FastestCurves, batch_colours, fastest_curves, metric_range
from runs.page.blocks import Spec, escape, layout, linear_axis, log_axis, note
from runs.plots import style


def training_chart(result: Result, outcome: Analysis) -> Spec:
    """Two panels; a click on a batch size in the legend hides it in both."""
    fastest = fastest_curves(result, outcome.cells)
    data = [
        _trace(result, entry, i, panel, colour)
        for entry, colour in zip(fastest, batch_colours(len(fastest)), strict=True)
        for i in range(len(entry.seeds))
        for panel in (1, 2)
    ]
    threshold = result.goal.threshold
    low, high, log = metric_range([curve for entry in fastest for curve in entry.averages], threshold)
    y_axis = (log_axis if log else linear_axis)(f"held-out {escape(result.goal.metric)}", low, high)
    steps, examples = (_span(data, panel) for panel in (1, 2))
    panels = {
        "xaxis2": log_axis("training examples seen", *examples, domain=[0.53, 1.0], anchor="y2"),
        "yaxis2": y_axis | {"title": {"text": ""}, "anchor": "x2", "showticklabels": False, "matches": "y"},
        "shapes": [_goal_line(threshold, panel) for panel in ("", "2")],
        "annotations": [] if fastest else [note("every trial diverged")],
    }
    return {
        "data": data,
        "layout": layout(log_axis("optimizer steps", *steps, domain=[0.0, 0.49]), y_axis, **panels),
    }


def _trace(result: Result, entry: FastestCurves, i: int, panel: int, colour: str) -> Spec:
    curve, setting = entry.averages[i], ", ".join(f"{escape(n)} {v:.4g}" for n, v in entry.setting.items())
    return {
        "type": "scatter",
        "mode": "lines",
        "x": curve.steps if panel == 1 else result.examples(entry.batch_size, curve.steps),
        "y": curve.values,
        "xaxis": f"x{panel}",
        "yaxis": f"y{panel}",
        "line": {"color": colour, "width": 1.2},
        "opacity": 0.8,
        "name": f"batch {entry.batch_size}",
        "legendgroup": str(entry.batch_size),
        "showlegend": i == 0 and panel == 1,
        "hovertemplate": f"batch size {entry.batch_size}, seed {entry.seeds[i]}<br>{setting}<br>"
        "%{x:,} " + ("steps" if panel == 1 else "examples") + ": %{y:.4g}<extra></extra>",
    }


def _span(data: list[Spec], panel: int) -> tuple[float, float]:
    """Limits of the x-axis of `panel`."""
    steps = np.concatenate([trace["x"] for trace in data if trace["xaxis"] == f"x{panel}"] or [[1, 1000]])
    return max(steps.min(), 1) / 1.3, steps.max() * 1.3


def _goal_line(threshold: float, panel: str) -> Spec:
    stroke = {"color": style.VERMILION, "width": 1.3, "dash": "dash"}
    return {
        "type": "line",
        "xref": f"x{panel} domain",
        "x0": 0,
        "x1": 1,
        "yref": f"y{panel}",
        "y0": threshold,
        "y1": threshold,
        "line": stroke,
    }
