"""The page: one HTML file that needs no network, with plotly.js in it once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from lr_batch import Result
from runs.curve.analysis import Analysis
from runs.curve.report.blocks import Spec
from runs.curve.report.heatmap import heatmap_chart
from runs.curve.report.scaling import rate_chart, steps_chart
from runs.curve.report.tables import cards, engine_table, protocols_table, steps_table, study_table
from runs.curve.report.training import training_chart
from runs.curve.words import trials
from runs.write import plain, write_atomically

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 1100px; padding: 32px 24px 64px; background: #fff; color: #1f2328;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 28px; line-height: 1.25; margin: 0 0 4px; } h2 { font-size: 20px; margin: 40px 0 4px; }
p { max-width: 75ch; } sub, sup { line-height: 0; } .muted { color: #6b7280; margin: 0 0 8px; }
.cards { display: grid;
  grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 12px; margin: 24px 0; }
.card { border: 1px solid #d9dce1; border-radius: 8px; padding: 12px 16px; }
.card b { display: block; font-size: 26px; line-height: 1.3; } .card small { color: #6b7280; }
.card:first-child { border-color: #d55e00; background: #fdf6f1; }
.advice { border-left: 4px solid #0072b2; background: #f3f8fc; padding: 12px 18px; margin: 16px 0;
  max-width: none; }
.warning { border-left: 4px solid #d55e00; background: #fdf6f1; padding: 8px 18px; margin: 8px 0;
  max-width: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14.5px; }
th, td { padding: 5px 14px; text-align: right; border-bottom: 1px solid #e6e8ec; white-space: nowrap; }
th { border-bottom: 2px solid #9aa1ab; }
.pairs th { text-align: left; border-bottom: 1px solid #e6e8ec; font-weight: 500; }
.pairs td { text-align: left; white-space: normal; } .edge { color: #b34700; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 0 32px; }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head><body>
<h1>{title}</h1><p class="muted">{subtitle}</p>
{warnings}{advice}{cards}
{figures}
<h2>Steps to the goal</h2><div class="scroll">{steps}</div>
{protocols}
<div class="columns"><section><h2>The study</h2>{study}</section>
<section><h2>The machine</h2>{engine}</section></div>
<script>{plotly}</script>
<script>
for (const [id, figure] of Object.entries({charts}))
  Plotly.newPlot(id, figure.data, figure.layout, {{
    responsive: true, displaylogo: false,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  }});
</script>
</body></html>
"""

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
        "Training at the fastest rate",
        "Lines that coincide on the right scale perfectly; those that coincide on the left gain nothing "
        "from a larger batch.",
    ),
}


def write_report(result: Result, outcome: Analysis, path: str | Path) -> None:
    """Writes the page of a study to `path`: its figures, its summary as tables, its advice and its notes."""
    from plotly.offline import get_plotlyjs  # 5 MB of text that only this function needs.

    charts, summary = charts_of(result, outcome), outcome.summary
    page = _PAGE.format(
        title=f"{escape(result.workload)} with {escape(result.optimizer)}",
        subtitle=f"{trials(result)} to the goal {escape(str(result.goal))}",
        style=_STYLE,
        warnings="".join(f'<p class="warning">{escape(str(note))}</p>' for note in summary["notes"]),
        advice=f'<p class="advice">{escape(outcome.advice)}</p>',
        cards=cards(outcome.critical, outcome.law, outcome.noise),
        figures="".join(_figure(name, *_captions(name, result)) for name in charts),
        steps=steps_table(summary["steps_to_goal"]),
        protocols=protocols_table(summary),
        study=study_table(summary, result),
        engine=engine_table(summary["engine"]),
        plotly=get_plotlyjs(),
        charts=script_json(charts),
    )
    write_atomically(path, page.encode())


def charts_of(result: Result, outcome: Analysis) -> dict[str, Spec]:
    """The figures by the names of their captions; those of the rate only where it was varied."""
    charts = {"steps": steps_chart(result, outcome)}
    if "learning_rate" in result.hparams:
        charts |= {"rate": rate_chart(result, outcome), "heatmap": heatmap_chart(result, outcome)}
    return charts | {"training": training_chart(result, outcome)}


def _captions(name: str, result: Result) -> Iterator[str]:
    return (text.format(rate=result.rate_name) for text in _CAPTIONS[name])


def _figure(name: str, title: str, caption: str) -> str:
    return f'<h2>{title}</h2><p class="muted">{caption}</p><div id="{name}"></div>'


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no NaN, and no `<` that could end it."""
    return json.dumps(plain(value, digits=5), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
