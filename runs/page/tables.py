"""Tables and large numbers of a page, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def card(label: str, value: str, remark: str) -> str:
    """A number in large figures; all three are HTML."""
    return f'<div class="card">{label}<b>{value}</b><small>{remark}</small></div>'


def cards(boxes: Iterable[str]) -> str:
    """Boxes side by side; empty where there are none."""
    html = "".join(boxes)
    return f'<div class="cards">{html}</div>' if html else ""


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], *, left: bool = False) -> str:
    """Plain texts in rows; `left`: the first column has words. It scrolls where it is too wide, by the keyboard too."""
    heads = "".join(f'<th scope="col">{escape(str(heading))}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    kind = ' class="left"' if left else ""
    label = escape(f"Table of {', '.join(map(str, filter(None, headings)))}")
    opening = f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table{kind}>'
    return f"{opening}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def pairs(entries: Iterable[tuple[str, Any]]) -> str:
    """Names with their values; lists have a line each."""
    rows = (
        f'<tr><th scope="row">{escape(str(name).replace("_", " "))}</th><td>{_value(value)}</td></tr>'
        for name, value in entries
    )
    return f'<table class="pairs">{"".join(rows)}</table>'


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "<br>".join(escape(str(entry)) for entry in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return escape(str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
