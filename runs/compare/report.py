"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from lr_batch import Result
from runs.compare.figures import PALETTE
from runs.compare.outcome import HEADINGS, QUANTITIES, Comparison, cells_of, lines_of
from runs.compare.rank import HEADINGS as RANKED_BY
from runs.compare.rank import Ranking, cells
from runs.curve.analysis import Analysis
from runs.page import Chart, Page, write_page
from runs.page.blocks import Spec, batch_axis, layout, points, span_axis
from runs.page.tables import table
from runs.page.trials import counts, provenance, rows_of, shown
from runs.plots import style

UNFITTED = "Fewer than two of these could be fitted, so they are not compared."


def write_report(comparison: Comparison, folder: Path) -> None:
    """`report.html` in `folder`."""
    outcomes = comparison.outcomes
    first = outcomes[0][0]
    rows = [row for result, _ in outcomes for row in rows_of(result)]
    differences = [line for name, words in QUANTITIES for line in lines_of(comparison, name, words)]
    own = [f"{result.optimizer}: {outcome.advice}" for result, outcome in outcomes]
    page = Page(
        title=f"{first.workload}: {', '.join(result.optimizer for result, _ in outcomes)}",
        subtitle=f"{len(rows):,} trials to the goal {first.goal}",
        advice=[*_places(comparison.ranking), *differences] or [UNFITTED],
        notes=[
            f"{result.optimizer}: {note}" for result, outcome in outcomes for note in outcome.summary["notes"]
        ],
        charts=charts_of(outcomes),
        sections=[
            (
                "Side by side",
                table(HEADINGS, [(r.optimizer, *cells_of(r, o)) for r, o in outcomes], left=True),
            ),
            ("Each by itself", "".join(f"<p>{line}</p>" for line in map(escape, own))),
        ],
        rows=shown(rows),
        about=[
            ("goal", f"{first.goal} ({first.reached_by})"),
            *([("conditions", list(comparison.ranking.lines))] if comparison.ranking else []),
            *counts(rows),
            *provenance(folder),
        ],
    )
    write_page(page, folder / "report.html")


def _places(ranking: Ranking | None) -> list[str]:
    """A line for each optimizer, the best first."""
    if ranking is None:
        return []
    lines = []
    for number, name, cost, batch, ratio in cells(ranking):
        at = f" at batch {batch}" if batch else ""
        over = f"; over the first {ratio}" if ratio else ""
        lines.append(f"{number}. {name}: {RANKED_BY[ranking.by]} {cost}{at}{over}")
    return lines


def charts_of(outcomes: Sequence[tuple[Result, Analysis]]) -> list[Chart]:
    """Steps to the goal of all, and their best rates where they have one."""
    result = max((one for one, _ in outcomes), key=lambda one: len(np.unique(one.batch_size)))
    steps = [[(row.steps, row.low, row.high) if row.steps else None for row in o.optima] for _, o in outcomes]
    rates = [[row.learning_rate and tuple(row.learning_rate) for row in o.optima] for _, o in outcomes]
    charts = [
        Chart(
            "steps",
            "Steps to the goal against batch size",
            "Median at the best rate of each batch size, with 90 % intervals; lower is better.",
            _chart(result, outcomes, steps, "optimizer steps to the goal"),
        )
    ]
    if any(bar for bars in rates for bar in bars):
        rate = Chart(
            "rate",
            "Best learning rate against batch size",
            "Rates of different optimizers are not in the same unit.",
            _chart(result, outcomes, rates, "learning rate"),
        )
        charts.append(rate)
    return charts


def _chart(
    result: Result, outcomes: Sequence[Any], bars: Sequence[Sequence[tuple[Any, ...] | None]], title: str
) -> Spec:
    data = []
    for i, ((one, o), b) in enumerate(zip(outcomes, bars, strict=True)):
        sizes, aside = [row.batch_size for row in o.optima], style.beside(i, len(outcomes))
        data.append(points(one.optimizer, sizes, list(b), PALETTE[i % len(PALETTE)], aside=aside))
    ends = [end for some in bars for bar in some if bar for end in bar if end and np.isfinite(end)]
    return {"data": data, "layout": layout(batch_axis(result.batch_size), span_axis(title, ends))}
