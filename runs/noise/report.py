"""The page of a noise scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runs.noise.figures import SERIES
from runs.noise.outcome import HOW_FAR, scale_text
from runs.page import Chart, Page, write_page
from runs.page.blocks import layout, points, span_axis
from runs.page.trials import provenance
from runs.plots import style

# In the legend, and as the column of a table.
NAMES = {
    "window": ("B_simple, over the steps", "B_simple"),
    "curved": ("B_noise, with curvature", "B_noise"),
    "sign": ("B_sign, of sign-like updates", "B_sign"),
    "spectral": ("B_spectral, of spectral updates", "B_spectral"),
}


def write_report(summary: Mapping[str, Any], folder: Path) -> None:
    """`report.html` in `folder`, of its summary."""
    end = "reached" if summary["reached"] else "not reached"
    setting = ", ".join(f"{name} {value:g}" for name, value in summary["hparams"].items())
    page = Page(
        title=f"{summary['workload']} with {summary['optimizer']}: gradient noise scale",
        subtitle=f"batch size {summary['batch_size']}, {setting}, seed {summary['seed']}; {summary['goal']} {end}",
        advice=(f"B_simple over all steps: {scale_text(summary['mean_simple'])} examples.", HOW_FAR),
        charts=[scale_chart(summary["points"])],
        rows=[_row(point) for point in summary["points"]],
        rows_title="Along the training",
        about=[("interval", f"{summary['level']:.0%}"), *provenance(folder)],
    )
    write_page(page, folder / "report.html")


def scale_chart(told: Sequence[Mapping[str, Any]]) -> Chart:
    """Every scale against the step, of the points of a summary."""
    steps = [point["step"] for point in told]
    data, ends = [], []
    for i, (name, (_, colour, _)) in enumerate(SERIES.items()):
        bars = [_bar(point.get(name)) for point in told]
        ends += [end for bar in bars if bar for end in bar if end]
        if any(bars):
            data.append(points(NAMES[name][0], steps, bars, colour, aside=style.beside(i, len(SERIES))))
    axes = span_axis("optimizer steps", steps), span_axis("noise scale (examples)", ends)
    caption = "Bars are 90 % intervals; a scale without an upper end has none upwards."
    figure = {"data": data, "layout": layout(*axes)}
    return Chart("scales", "Noise scale along the training", caption, figure)


def _bar(scale: Mapping[str, float | None] | None) -> tuple[float | None, ...] | None:
    return None if scale is None or scale["best"] is None else (scale["best"], scale["low"], scale["high"])


def _row(point: Mapping[str, Any]) -> dict[str, Any]:
    scales = {column: (point.get(name) or {}).get("best") for name, (_, column) in NAMES.items()}
    return {"step": point["step"], "metric": point["metric"], "average": point["average"], **scales}
