"""The page: one HTML file that needs no network, with plotly.js and the data packed into it."""

from __future__ import annotations

import base64
import functools
import gzip
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from runs.page.blocks import Spec
from runs.page.tables import pairs
from runs.write import plain, write_atomically

DIGITS = 6  # of a number in the page; the store has all of them
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>{title}</title><style>{style}</style></head><body>
<main>
<h1>{title}</h1><p class="muted">{subtitle}</p>
{advice}{warnings}{cards}
{figures}
{sections}
{trials}
<section><h2>What was run</h2>{about}</section>
</main>
<noscript><p class="warning">Figures and the table of trials need JavaScript, which is in this file.</p></noscript>
<script type="text/plain" id="data">{data}</script>
<script type="text/plain" id="plotly">{plotly}</script>
<script>{script}</script>
</body></html>
"""
_FIGURE = """<section><h2>{title}</h2><figure>
<div class="chart" id="{name}" role="img" aria-label="{alt}"></div>
<figcaption>{caption}</figcaption></figure>
<div class="tools"><button id="{name}-svg" aria-label="{title} as SVG">Figure as SVG</button>
<button id="{name}-csv" aria-label="Data of {title} as CSV">Data as CSV</button></div></section>
"""
_TRIALS = """<section id="trials"><h2>{title}</h2>
<p class="muted">A heading sorts. The filter takes words, and comparisons such as {examples}.</p>
<div class="tools"><input id="trials-filter" type="search" aria-label="Filter the trials" placeholder="filter">
<span id="trials-count" role="status"></span><button id="trials-csv">These as CSV</button></div>
<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table><thead></thead><tbody></tbody></table></div>
<button id="trials-more" hidden>Show more</button></section>
"""


class Chart(NamedTuple):
    """A figure of plotly with what stands around it; `alt` says in words what is to be seen."""

    name: str
    title: str
    caption: str
    spec: Spec
    alt: str = ""


class Page(NamedTuple):
    """What a kind of folder has to say; texts are escaped here, `cards` and `sections` are HTML.

    Attributes:
      title: what was measured.
      subtitle: on how much.
      advice: what follows from it; the first thing that is read.
      notes: what to be careful with.
      charts: figures in their order.
      sections: further (heading, HTML).
      rows: the table of trials, all rows with the same names.
      rows_title: its heading.
      about: what was run: names and values.
    """

    title: str
    subtitle: str
    advice: Sequence[str]
    notes: Sequence[str] = ()
    cards: str = ""
    charts: Sequence[Chart] = ()
    sections: Sequence[tuple[str, str]] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    rows_title: str = "Trials"
    about: Sequence[tuple[str, Any]] = ()


def write_page(page: Page, path: str | Path) -> None:
    """Writes the page to `path`."""
    looks = resources.files("runs.page")
    written = _PAGE.format(
        title=escape(page.title),
        subtitle=escape(page.subtitle),
        style=looks.joinpath("page.css").read_text(),
        advice=_advice(page.advice),
        warnings="".join(f'<p class="warning">{escape(str(note))}</p>' for note in page.notes),
        cards=page.cards,
        figures="".join(map(_figure, page.charts)),
        sections="".join(f"<section><h2>{escape(head)}</h2>{html}</section>" for head, html in page.sections),
        trials=_trials(page),
        about=pairs(page.about),
        data=packed(script_json(data_of(page))),
        plotly=packed_plotly(),
        script=looks.joinpath("page.js").read_text(),
    )
    write_atomically(path, written.encode())


def data_of(page: Page) -> dict[str, Any]:
    """What the script draws: figures by name, and the trials as columns."""
    columns = list(page.rows[0]) if page.rows else []
    values = [[row[name] for row in page.rows] for name in columns]
    return {
        "charts": {chart.name: chart.spec for chart in page.charts},
        "trials": {"columns": columns, "values": values} if columns else None,
    }


def _advice(texts: Sequence[str]) -> str:
    lines = "".join(f"<p>{escape(text)}</p>" for text in texts)
    return f'<div class="advice">{lines}</div>' if lines else ""


def _figure(chart: Chart) -> str:
    texts = {name: escape(text) for name, text in chart._asdict().items() if name != "spec"}
    alt = texts["alt"] or f"{texts['title']}. {texts['caption']}"
    return _FIGURE.format(**texts | {"alt": alt})


def _trials(page: Page) -> str:
    if not page.rows:
        return ""
    examples = [f"<code>{escape(term)}</code>" for term in _filters(page.rows)]
    return _TRIALS.format(title=escape(page.rows_title), examples=" or ".join(examples))


def _filters(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Comparisons that keep some of the rows, to be copied."""
    terms = []
    for name, value in rows[0].items():
        if isinstance(value, str) and value and " " not in value and len(terms) < 2:
            terms.append(f"{name}={value}")
        elif isinstance(value, int) and not isinstance(value, bool) and len(terms) < 2:
            terms.append(f"{name}>={value}")
    return terms or ["1"]


def packed(text: str) -> str:
    """The text so that it is short and may stand inside a script element; the same text gives the same bytes."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


@functools.cache
def packed_plotly() -> str:
    """The script that draws the charts: 5 MB of text, packed once for all pages of a process."""
    from plotly.offline import get_plotlyjs

    return packed(get_plotlyjs())


def script_json(value: Any) -> str:
    """Strict JSON: no NaN, numbers to so many digits as a figure shows."""
    return json.dumps(plain(value, digits=DIGITS), allow_nan=False, separators=(",", ":"))
