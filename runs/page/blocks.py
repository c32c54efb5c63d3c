"""Pieces of plotly figures as plain dicts, so that writing a page imports no plotly.

Figures are {"data": traces, "layout": layout}, ready for JSON but for numpy arrays and NaN.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from lr_batch import Optimum
from runs.plots import style

Spec = dict[str, Any]
Numbers = Sequence[float | None] | np.ndarray
DASHED = {"color": style.MUTED, "width": 1.2, "dash": "dash"}


def escape(text: str) -> str:
    """`text` as plotly and HTML show it literally; plotly does not know `&quot;`."""
    return html.escape(str(text), quote=False)


MARGIN = {"l": 70, "r": 20, "t": 30, "b": 60}  # pixels


def layout(x_axis: Spec, y_axis: Spec, **more: Any) -> Spec:
    """A white figure with its legend below."""
    return {
        "xaxis": x_axis,
        "yaxis": y_axis,
        "height": 500,
        "hovermode": "closest",
        "margin": MARGIN,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": style.INK},
        "legend": {"orientation": "h", "y": -0.21, "yanchor": "top", "x": 0.5, "xanchor": "center"},
        **more,
    }


def note(text: str) -> Spec:
    """An annotation in the middle that says why something is not drawn."""
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
    return {
        **place,
        "text": escape(text),
        "font": {"size": 15},
        "bgcolor": "white",
        "bordercolor": style.FAINT,
        "borderpad": 8,
    }


def log_axis(title: str, low: float, high: float, **more: Any) -> Spec:
    """A log axis over [low, high] with plain numbers at 1, or 1, 2 and 5 where it is short."""
    parts = (1, 2, 5) if high / low < 300 else (1,)
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [part * 10.0**exponent for exponent in exponents for part in parts]
    return {
        "type": "log",
        "title": {"text": title, "standoff": 8},
        "range": np.log10([low, high]),
        "tickvals": ticks,
        "ticktext": [style.compact(tick) for tick in ticks],
        "gridcolor": style.FAINT,
        "linecolor": style.MUTED,
        "ticks": "outside",
        "zeroline": False,
        **more,
    }


def linear_axis(title: str, low: float, high: float, **more: Any) -> Spec:
    """A linear axis over [low, high]."""
    return {
        "title": {"text": title, "standoff": 8},
        "range": [low, high],
        "gridcolor": style.FAINT,
        "linecolor": style.MUTED,
        "ticks": "outside",
        "zeroline": False,
        **more,
    }


def batch_axis(batch_sizes: Sequence[int] | np.ndarray) -> Spec:
    """A log axis with ticks at the batch sizes of a study, labelled as densely as fits."""
    sizes = np.unique(batch_sizes)
    low, high = sizes[0] / 2**0.5, sizes[-1] * 2**0.5
    labels = style.spaced_labels(sizes, np.log(sizes / low) / np.log(high / low))
    return log_axis("batch size (examples)", low, high) | {"tickvals": sizes, "ticktext": labels}


def line(name: str, x: np.ndarray, y: np.ndarray, looks: Spec, **more: Any) -> Spec:
    """A line that does not answer to the pointer."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": looks,
        "hoverinfo": "skip",
        **more,
    }


def markers(name: str, x: Numbers, y: Numbers, hover: Sequence[str] | np.ndarray, **looks: Any) -> Spec:
    """Points, each with its own text when pointed at."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": x,
        "y": y,
        "text": hover,
        "marker": looks,
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": len(x) > 0,
    }


def estimates(
    name: str,
    rows: Sequence[Optimum],
    intervals: Sequence[tuple[float | None, float | None, float | None] | None],
    **looks: Any,
) -> Spec:
    """Points with the error bars of `intervals` = (middle, low, high), one for each of `rows`."""
    middle, low, high = np.array(intervals, float).reshape(-1, 3).T
    above, below = style.bars(middle, low, high)[::-1]
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "color": style.BLUE}
    hover = [describe(row) for row in rows]
    trace = markers(
        name, [row.batch_size for row in rows], middle, hover, **{"size": 9, "color": style.BLUE} | looks
    )
    return trace | {"error_y": bars}


def points(
    name: str,
    x: Numbers | Sequence[str],
    bars: Sequence[tuple[Any, ...] | None],
    colour: str,
    *,
    aside: float | None = None,
    **more: Any,
) -> Spec:
    """Joined points (middle, low, high) with bars; an end that is None has no bar, one without a middle no point.

    They are drawn at `x`, on a log axis `aside` times that where other series have their bars at the same places.
    """
    known = [(i, bar) for i, bar in enumerate(bars) if bar is not None and bar[0] is not None]
    ends = [[np.nan if end is None else end for end in bar] for _, bar in known]
    middle, low, high = np.array(ends, float).reshape(-1, 3).T
    below, above = np.nan_to_num(middle - low), np.nan_to_num(high - middle)
    at = [x[i] for i, _ in known]
    spans = zip(at, middle, low, high, strict=True)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(name),
        "x": at if aside is None else np.array(at, float) * aside,
        "y": middle,
        "marker": {"color": colour, "size": 8},
        "line": {"color": colour, "width": 1.6},
        "error_y": {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "color": colour},
        "text": [f"{escape(name)}, {escape(str(a))}: {m:.4g} [{lo:.4g}, {hi:.4g}]" for a, m, lo, hi in spans],
        "hovertemplate": "%{text}<extra></extra>",
        **more,
    }


def category_axis(title: str, names: Sequence[str]) -> Spec:
    """Names in their order, each with the same room."""
    return {
        "type": "category",
        "automargin": True,
        "title": {"text": title, "standoff": 8},
        "categoryorder": "array",
        "categoryarray": [escape(name) for name in names],
        "gridcolor": style.FAINT,
        "linecolor": style.MUTED,
    }


def span_axis(title: str, values: Numbers, *, log: bool | None = None) -> Spec:
    """An axis around `values`: logarithmic where all are positive, unless `log` says otherwise."""
    known = np.array([value for value in values if value is not None], float)
    known = known[np.isfinite(known)]
    if not len(known):
        return linear_axis(title, 0.0, 1.0)
    low, high = float(known.min()), float(known.max())
    if log is False or (log is None and low <= 0):
        margin = 0.06 * (high - low) or 0.5
        return linear_axis(title, low - margin, high + margin)
    return log_axis(title, low / 1.25, max(high * 1.25, low * 1.6))


def describe(row: Optimum) -> str:
    """What a batch size needs, in the lines that its point shows."""
    lines = [f"batch size {row.batch_size}", f"steps {row.steps:,.0f} [{row.low:,.0f}, {row.high:,.0f}]"]
    if row.learning_rate:
        best, low, high = row.learning_rate
        lines.append(
            f"rate {best:.3g} [{low:.3g}, {high:.3g}]"
            + (f", {row.edge} edge of the grid" if row.edge else "")
        )
    lines += [f"{escape(name)} {value:.4g}" for name, value in row.others.items()]
    return "<br>".join([*lines, f"{row.n_reached} of {row.n_seeds} seeds reached the goal"])
