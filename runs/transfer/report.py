"""The page of a comparison of widths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from runs.page import Chart, Page, write_page
from runs.page.blocks import Spec, layout, points, span_axis
from runs.page.tables import table
from runs.page.trials import Rows, counts, provenance, shown
from runs.transfer.family import PARAMETERIZATIONS
from runs.transfer.figures import HEADINGS
from runs.transfer.outcome import octaves_text, verdict
from runs.transfer.over_batches import lines_of


def write_report(summary: dict[str, Any], rows: Rows, folder: Path) -> None:
    """`report.html` in `folder`, of a summary and the trials of all widths."""
    page = Page(
        title=f"{summary['workload']} with {summary['optimizer']}: does the best rate depend on the width?",
        subtitle=f"widths {summary['widths'][0]:,} to {summary['widths'][-1]:,}, {len(rows):,} trials of "
        f"{summary['steps']:,} steps at batch size {summary['batch_size']}",
        advice=[" ".join(line.split()) for name in PARAMETERIZATIONS for line in _said(summary, name)],
        charts=[width_chart(summary, name) for name in PARAMETERIZATIONS],
        sections=[("Best learning rate of each width", _table(summary))],
        rows=shown(rows),
        about=[
            (
                "loss",
                f"{summary['measured']}, after {summary['steps']:,} steps, {summary['schedule']} schedule",
            ),
            ("learning rates", ", ".join(f"{rate:.3g}" for rate in summary["rates"])),
            *counts(rows),
            *provenance(folder),
        ],
    )
    write_page(page, folder / "report.html")


def _said(summary: dict[str, Any], name: str) -> list[str]:
    over = lines_of(summary, name) if "over_batch_sizes" in summary else []
    return [verdict(name, summary), *over]


def width_chart(summary: dict[str, Any], name: str) -> Chart:
    """Loss against learning rate of every width under one parameterization, light to dark."""
    losses = np.array(_numbers(summary[name]["losses"]), float)  # [widths, seeds, rates]
    shades = colormaps["viridis_r"](np.linspace(0.12, 1.0, len(losses)))
    data: list[Spec] = []
    for width, loss, shade in zip(summary["widths"], losses, shades, strict=True):
        alive = np.isfinite(loss).all(axis=0)
        logs = np.log(np.where(alive, loss, 1.0))
        bars = zip(*np.exp([logs.mean(axis=0), logs.min(axis=0), logs.max(axis=0)]).tolist(), strict=True)
        shown = [bar if ok else None for bar, ok in zip(bars, alive, strict=True)]
        data.append(points(f"width {width:,}", summary["rates"], shown, to_hex(shade)))
    figure = {
        "data": data,
        "layout": layout(
            span_axis("learning rate", summary["rates"]), span_axis("final loss", losses.ravel())
        ),
    }
    caption = "Geometric mean over seeds, with the lowest and the highest; rates at which a seed diverged are left out."
    return Chart(f"widths-{name}", HEADINGS[name], caption, figure)


def _numbers(values: Any) -> Any:
    """Nested lists with NaN where JSON had null."""
    return (
        [_numbers(value) for value in values]
        if isinstance(values, list)
        else np.nan
        if values is None
        else values
    )


def _table(summary: dict[str, Any]) -> str:
    headings = ("parameterization", "width", "best rate", "octaves from the first", "loss")
    rows: list[Sequence[Any]] = []
    for name in PARAMETERIZATIONS:
        for width, row in zip(summary["widths"], summary[name]["best"], strict=True):
            rate = f"{row['rate']['best']:.3g}" + (" (edge)" if row["edge"] else "")
            loss = "diverged" if row["loss"] is None else f"{row['loss']:.4g}"
            moved = "" if width == summary["widths"][0] else octaves_text(row["octaves"])
            rows.append((name, f"{width:,}", rate, moved, loss))
    return table(headings, rows, left=True)
