"""The page of a regularizer's strengths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lr_batch import Generalization
from runs.compare.figures import PALETTE
from runs.export import trials_of
from runs.page import Chart, Page, write_page
from runs.page.blocks import category_axis, escape, layout, points, span_axis
from runs.page.tables import table
from runs.page.trials import counts, provenance, shown
from runs.regularize.outcome import Outcome, sentence


def write_report(fits: Generalization, outcome: Outcome, folder: Path) -> None:
    """`report.html` in `folder`."""
    summary, rows = outcome.summary, trials_of(folder)[0]
    page = Page(
        title=f"{summary['workload']} with {summary['optimizer']}: how much {summary['strength']}?",
        subtitle=f"{len(rows):,} trials of {summary['epochs']:g} epochs; intervals are over {summary['seeds']} seeds",
        advice=[sentence(fits, entry) for entry in outcome.best],
        charts=[strength_chart(summary)],
        sections=[("Every strength at its best learning rate", _table(summary))],
        rows=shown(rows),
        about=[
            ("metric", summary["metric"]),
            *((name, ", ".join(f"{v:g}" for v in values)) for name, values in summary["space"].items()),
            *counts(rows),
            *provenance(folder),
        ],
    )
    write_page(page, folder / "report.html")


def strength_chart(summary: Mapping[str, Any]) -> Chart:
    """Held-out and training metric against the strength, a colour for each batch size."""
    rows = summary["strengths"]
    sizes = list(dict.fromkeys(row["batch_size"] for row in rows))
    words = {row["strength"]: _strength(summary, row["strength"]) for row in rows}
    data = []
    for i, size in enumerate(sizes):
        mine = [row for row in rows if row["batch_size"] == size]
        at = [escape(words[row["strength"]]) for row in mine]
        for part, name, dash in (("held_out", "held out", "solid"), ("train", "training", "dot")):
            bars = [_bar(row[part]) for row in mine]
            trace = points(f"batch {size}, {name}", at, bars, PALETTE[i % len(PALETTE)])
            data.append(trace | {"line": trace["line"] | {"dash": dash}})
    ends = [
        end
        for row in rows
        for part in ("held_out", "train")
        for end in _bar(row[part]) or ()
        if end is not None
    ]
    x_axis = category_axis(escape(summary["strength"]), list(words.values()))
    y_axis = span_axis(escape(summary["metric"]), ends)
    beside = {"scattermode": "group", "scattergap": 0.5}  # bars of one strength stand side by side
    figure = {"data": data, "layout": layout(x_axis, y_axis, **beside)}
    title = f"{summary['metric']} against {summary['strength']}"
    return Chart(
        "strengths", title, "Each at the learning rate that is best there, with 90 % intervals.", figure
    )


def _bar(value: Mapping[str, float | None] | None) -> tuple[float | None, ...] | None:
    return None if value is None or value["best"] is None else (value["best"], value["low"], value["high"])


def _strength(summary: Mapping[str, Any], strength: float) -> str:
    return "off" if strength == summary["off"] else f"{strength:.3g}"


def _table(summary: Mapping[str, Any]) -> str:
    headings = ("batch", summary["strength"], "held out", "training", "gap", "learning rate", "edge")
    rows = [
        (
            row["batch_size"],
            _strength(summary, row["strength"]),
            *(_interval(row[part]) for part in ("held_out", "train", "gap")),
            f"{row['learning_rate']:.3g}" if "learning_rate" in row else "",
            row["edge"] or "",
        )
        for row in summary["strengths"]
    ]
    return table(headings, rows)


def _interval(value: Mapping[str, float | None] | None) -> str:
    bar = _bar(value)
    if bar is None:
        return "diverged"
    best, low, high = bar
    return f"{best:.4g}" if low is None or high is None else f"{best:.4g} ({low:.4g} to {high:.4g})"
