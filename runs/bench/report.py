"""The page of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runs.bench.figures import PARTS, bars_of, parts_of
from runs.page import Chart, Page, write_page
from runs.page.blocks import Spec, category_axis, escape, layout, linear_axis, span_axis
from runs.page.tables import table
from runs.page.trials import provenance
from runs.plots import style


def write_report(report: Mapping[str, Any], folder: Path) -> None:
    """`report.html` in `folder`, of what bench.json has."""
    work, machine = report["work"], report["machine"]
    bars = bars_of(report)
    page = Page(
        title=f"{work['workload']} with {work['optimizer']}: how long the same trials take",
        subtitle=f"{report['trials']:,} trials, on {machine.get('processor') or machine.get('device')}",
        advice=[_sentence(bars)],
        charts=[peers_chart(bars), parts_chart(report["batch_sizes"])],
        sections=[("Seconds for the whole study", _table(bars))],
        rows=[
            {name: value for name, value in row.items() if isinstance(value, int | float)}
            for row in report["batch_sizes"]
        ],
        rows_title="Each batch size, times in seconds",
        about=[*((name, _short(value)) for name, value in machine.items()), *provenance(folder)],
    )
    write_page(page, folder / "report.html")


def _sentence(bars: list[tuple[str, float, float, float, str]]) -> str:
    own = {name: seconds for name, seconds, *_ in bars if name.startswith("engine")}
    peers = [f"{name} {text}" for name, *_, text in bars if not name.startswith("engine")]
    took = ", ".join(f"{name}: {seconds:.3g} s" for name, seconds in own.items())
    return (
        f"{took}. Others, as multiples of the engine's cold run: {'; '.join(peers) or 'none was measured'}."
    )


def peers_chart(bars: list[tuple[str, float, float, float, str]]) -> Chart:
    """Seconds of every peer."""
    names, seconds, low, high, texts = (list(column) for column in zip(*bars, strict=True))
    trace: Spec = {
        "type": "bar",
        "orientation": "h",
        "x": seconds,
        "y": [escape(name) for name in names],
        "text": [f"   {text}" for text in texts],  # beside the end of the bar's interval
        "textposition": "outside",
        "marker": {"color": [style.BLUE if name.startswith("engine") else style.MUTED for name in names]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [h - s for h, s in zip(high, seconds, strict=True)],
            "arrayminus": [s - lo for lo, s in zip(low, seconds, strict=True)],
        },
        "hovertemplate": "%{y}: %{x:.3g} s<extra></extra>",
    }
    axis = span_axis("seconds", [*seconds, min(seconds) / 2, max(seconds) * 8])
    peers = category_axis("", names) | {"autorange": "reversed", "showgrid": False}
    figure = {"data": [trace], "layout": layout(axis, peers)}
    return Chart(
        "peers",
        "Seconds for the whole study",
        "Beside each bar its time, or how many times the engine's.",
        figure,
    )


def parts_chart(rows: list[Mapping[str, float]]) -> Chart:
    """Where the engine's time goes at each batch size."""
    sizes = [f"{row['batch_size']:,}" for row in rows]
    shares = [parts_of(row) for row in rows]
    data: list[Spec] = [
        {
            "type": "bar",
            "name": name,
            "x": sizes,
            "y": [share[part] for share in shares],
            "marker": {"color": colour},
            "hovertemplate": f"{name}, batch %{{x}}: %{{y:.0%}}<extra></extra>",
        }
        for part, name, colour in PARTS
    ]
    axes = category_axis("batch size (examples)", sizes), linear_axis("share of the engine's time", 0.0, 1.0)
    figure = {"data": data, "layout": layout(*axes, barmode="stack")}
    return Chart("parts", "Where the engine's time goes", "Shares of a batch size's time.", figure)


def _table(bars: list[tuple[str, float, float, float, str]]) -> str:
    rows = [
        (name, _seconds(seconds), f"{_seconds(low)} to {_seconds(high)}", text)
        for name, seconds, low, high, text in bars
    ]
    return table(("", "seconds", "from lowest to highest", "times the engine"), rows, left=True)


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {entry}" for name, entry in value.items())
    if isinstance(value, float):
        return float(f"{value:.3g}")
    return [_short(entry) for entry in value] if isinstance(value, list) else value
