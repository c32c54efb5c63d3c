"""Steps to the goal, and the best learning rate, against batch size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lr_batch import CriticalBatchSize, Result
from runs.curve.analysis import Analysis
from runs.curve.figures.learning_rate import GUIDES, guide, lowest_diverged
from runs.curve.figures.steps_to_goal import (
    critical_text,
    curve_text,
    noise_bounds,
    seed_points,
    steps_range,
)
from runs.curve.law_words import line_text
from runs.curve.words import middle_words, noise_words
from runs.page.blocks import (
    DASHED,
    MARGIN,
    Spec,
    batch_axis,
    escape,
    estimates,
    layout,
    line,
    log_axis,
    markers,
    note,
)
from runs.plots import style
from runs.plots.cells import CELL_LABELS, NOT_RUN, rate_grid


def steps_chart(result: Result, outcome: Analysis) -> Spec:
    """Steps to the goal against batch size, with the fit where there is one."""
    optima, critical = outcome.optima, outcome.critical
    reached = [row for row in optima if row.steps is not None]
    missed = [row for row in optima if row.steps is None and row.low]
    batch, seed, steps = seed_points(optima).T
    hover = [
        f"batch {b:.0f}, seed {s:.0f}: {n:,.0f} steps" for b, s, n in zip(batch, seed, steps, strict=True)
    ]
    data = [
        *(_fit_lines(critical, _wide(result)) if critical else ()),
        markers("each seed", batch * style.BESIDE, steps, hover, color=style.INK, size=4, opacity=0.45),
        estimates(middle_words(optima), reached, [(row.steps, row.low, row.high) for row in reached]),
        markers(
            "goal not reached: more steps than this",
            [row.batch_size for row in missed],
            [row.low for row in missed],
            [f"batch {row.batch_size}: not reached by {row.low:,.0f} steps" for row in missed],
            symbol="triangle-up",
            size=11,
            color=style.VERMILION,
        ),
    ]
    low, high = steps_range(optima, critical)
    y_axis = log_axis("optimizer steps to the goal", low, high)
    if outcome.noise:
        data.append(_noise_trace(outcome.noise, _wide(result), low * 1.35))
    if critical:
        marks = _critical_marks(critical, *_wide(result)[[0, -1]])
    else:
        marks = {} if len(steps) else {"annotations": [note("no batch size reached the goal")]}
    return {"data": data, "layout": layout(batch_axis(result.batch_size), y_axis, **marks)}


def _wide(result: Result) -> np.ndarray:
    """Batch sizes for smooth lines across the whole axis."""
    return np.geomspace(result.batch_size.min() / 2**0.5, result.batch_size.max() * 2**0.5, 80)


def _fit_lines(critical: CriticalBatchSize, batch: np.ndarray) -> list[Spec]:
    steps, low, high = critical.curve(batch)
    none = {"width": 0}
    return [
        line("", batch, low, none, showlegend=False),
        line(
            "band of the fit",
            batch,
            high,
            none,
            showlegend=False,
            fill="tonexty",
            fillcolor="rgba(0,114,178,0.15)",
        ),
        line("perfect scaling", batch, critical.e_min / batch, DASHED),
        line("fewest steps", batch, np.full_like(batch, critical.s_min), {**DASHED, "dash": "dot"}),
        line(curve_text(critical), batch, steps, {"color": style.BLUE, "width": 2}),
    ]


def _noise_trace(noise: Mapping[str, Any], batch: np.ndarray, height: float) -> Spec:
    """The noise scale with its interval near the foot of the axes."""
    best, low, high = noise_bounds(noise, batch[0], batch[-1])
    hover = f"noise scale {noise_words(noise)}"
    trace = markers(
        "noise scale, B_simple", [best], [height], [hover], symbol="diamond", size=10, color=style.PURPLE
    )
    ends = {"array": [high - best], "arrayminus": [best - low], "color": style.PURPLE}
    return trace | {"error_x": {"type": "data", "symmetric": False, **ends}}


def _critical_marks(critical: CriticalBatchSize, left: float, right: float) -> Spec:
    """Line and shaded interval at the critical batch size, named above the axes: there is room on a phone too."""
    across = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    band = {
        "type": "rect",
        "x0": critical.low,
        "x1": critical.high,
        "fillcolor": style.VERMILION,
        "opacity": 0.13,
    }
    stroke = {"type": "line", "x0": critical.value, "x1": critical.value, "line": {"color": style.VERMILION}}
    along = float(np.clip(np.log(critical.value / left) / np.log(right / left), 0, 1))
    side = "left" if along < 1 / 3 or not critical.test.fits else "center" if along < 2 / 3 else "right"
    name = {
        "xref": "paper",
        "yref": "paper",
        "x": along if critical.test.fits else 0,  # more words need the whole width
        "y": 1,
        "xanchor": side,
        "yanchor": "bottom",
        "align": side,
        "text": critical_text(critical).replace("\n", "<br>"),
        "showarrow": False,
        "font": {"color": style.RUST, "size": 12},
    }
    return {
        "shapes": [{**band, "line": {"width": 0}, **across}, stroke | across],
        "annotations": [name],
        "margin": {**MARGIN, "t": 50},
    }


def rate_chart(result: Result, outcome: Analysis) -> Spec:
    """Best learning rate against batch size, with the law where there is one."""
    table, law = outcome.cells, outcome.law
    grid = rate_grid(table)
    optima = [row for row in outcome.optima if row.learning_rate]
    diverged = lowest_diverged(grid)
    known = np.isfinite(diverged)
    sizes, diverged = table.batch_sizes[known], diverged[known]
    hover = [f"batch {b}: diverged at rate {r:.3g}" for b, r in zip(sizes, diverged, strict=True)]
    cross = {"symbol": "x-thin-open", "size": 8, "color": style.VERMILION}
    data = [markers("lowest rate that diverged", sizes, diverged, hover, **cross)]
    row, column = np.nonzero((grid.outcome == NOT_RUN) & (result.searched is None))
    nothing = {"symbol": "line-ew-open", "size": 5, "color": "#d9dce1"}
    names = [CELL_LABELS[NOT_RUN]] * len(row)
    data.append(markers(CELL_LABELS[NOT_RUN], table.batch_sizes[column], grid.rates[row], names, **nothing))
    batch = _wide(result)
    for slope, name, _ in GUIDES if optima else ():
        data.append(
            line(
                name,
                batch,
                guide(optima[0], batch, slope),
                {**DASHED, "dash": "dash" if slope == 1 else "dot"},
            )
        )
    if law:
        data.append(
            line(
                escape(line_text(law)),
                batch,
                law.rate(batch),
                {"color": style.BLUE, "width": 2},
            )
        )
    inside, at_edge = ([row for row in optima if (row.edge is not None) == edge] for edge in (False, True))
    ring = {"color": "white", "line": {"color": style.BLUE, "width": 1.5}}
    data.append(estimates("best rate", inside, [row.learning_rate for row in inside]))
    data.append(
        estimates(
            "best rate at the edge of the grid", at_edge, [row.learning_rate for row in at_edge], **ring
        )
    )
    y_axis = log_axis(result.rate_name, grid.edges[0] / 1.25, grid.edges[-1] * 1.25)
    marks = {} if optima else {"annotations": [note("no batch size has a best rate: none reached the goal")]}
    return {"data": data, "layout": layout(batch_axis(result.batch_size), y_axis, **marks)}
