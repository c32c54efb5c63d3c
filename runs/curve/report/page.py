"""The page of a study of `lr-batch curve`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lr_batch import Result
from runs.curve.analysis import Analysis
from runs.curve.figures.training_curves import setting_drawn
from runs.curve.lineages import HEADING, changed
from runs.curve.report.heatmap import heatmap_chart
from runs.curve.report.scaling import rate_chart, steps_chart
from runs.curve.report.tables import (
    critical_cards,
    engine_entries,
    members_table,
    pieces_table,
    protocols_table,
    steps_table,
    study_entries,
)
from runs.curve.report.training import training_chart
from runs.curve.words import trials
from runs.noise.report import scale_chart
from runs.page import Chart, Page, write_page
from runs.page.blocks import Spec
from runs.page.trials import counts, provenance, rows_of, shown

_CAPTIONS = {
    "steps": (
        "Steps to the goal against batch size",
        "Along the dashed line twice the batch halves the steps; along the dotted one it buys nothing.",
    ),
    "rate": (
        "Best {rate} against batch size",
        "Minimum of a smooth fit over all seeds, not the fastest cell of the grid.",
    ),
    "heatmap": ("Steps to the goal by {rate} and batch size", "Point at a cell to see its seeds."),
    "training": (
        "Training at the {setting}",
        "Lines that coincide on the right scale perfectly; those that coincide on the left gain nothing "
        "from a larger batch.",
    ),
}
UNFITTED = "Where twice the batch halves the steps, scaling is perfect; where they stay, it buys nothing."


def write_report(result: Result, outcome: Analysis, path: str | Path) -> None:
    """Writes the page of a study to `path`: its figures, its summary as tables, its advice and its notes."""
    write_page(page_of(result, outcome, Path(path).parent), path)


def page_of(result: Result, outcome: Analysis, folder: Path) -> Page:
    """What the page says; `folder` holds the store, if anything does."""
    summary, rows = outcome.summary, rows_of(result)
    figures = [
        Chart(name, *_captions(name, result, outcome), spec)
        for name, spec in charts_of(result, outcome).items()
    ]
    if outcome.noise and len(outcome.noise.get("points", ())) > 1:
        figures.append(scale_chart(outcome.noise["points"]))
    sections = [("Steps to the goal", steps_table(summary["steps_to_goal"]))]
    sections += _of_search(result, summary)
    return Page(
        title=f"{result.workload} with {result.optimizer}",
        subtitle=f"{trials(result)} to the goal {result.goal}",
        advice=(outcome.advice,),
        notes=summary["notes"],
        cards=critical_cards(outcome.critical, outcome.law, outcome.noise),
        charts=figures,
        sections=sections,
        rows=shown(rows),
        about=[
            *study_entries(summary, result),
            *(entry for entry in counts(rows) if entry[0] == "optimizer steps"),
            *engine_entries(summary["engine"]),
            *provenance(folder),
        ],
    )


def _captions(name: str, result: Result, outcome: Analysis) -> tuple[str, str]:
    """Heading and caption; lines that are not drawn are not explained."""
    heading, caption = _CAPTIONS[name]
    heading = heading.format(rate=result.rate_name, setting=setting_drawn(result, outcome))
    return heading, UNFITTED if name == "steps" and outcome.critical is None else caption


def _of_search(result: Result, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The tables of a search; none of a grid."""
    if changed(result):
        best, pieces = members_table(summary["best_of_trials"]), pieces_table(summary["steps_to_goal"])
        return [("The fastest members", best), *([(HEADING.rstrip(":"), pieces)] if pieces else [])]
    return [("The search read in two ways", html)] if (html := protocols_table(summary)) else []


def charts_of(result: Result, outcome: Analysis) -> dict[str, Spec]:
    """The figures by the names of their captions; those of the rate only where it was varied."""
    charts = {"steps": steps_chart(result, outcome)}
    if result.has_rate:
        charts |= {"rate": rate_chart(result, outcome), "heatmap": heatmap_chart(result, outcome)}
    return charts | {"training": training_chart(result, outcome)}
