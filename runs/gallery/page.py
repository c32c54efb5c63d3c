"""The index page: every figure with its caption and its command, in one file that opens without a network."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from runs.gallery.entry import Entry
from runs.gallery.make import Made, about
from runs.write import write_atomically

PAGE = "index.html"
CODE = re.compile(r"`([^`]+)`")
QUICK = (
    "Made in the quick form: a few steps and seeds, to try the code. These numbers and figures mean nothing."
)
STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --muted: #59616d; --line: #d9dce1; --page: #f6f7f9; --card: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --muted: #a2abb8; --line: #3a4049; --page: #14171b; --card: #1d2126 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
header, main, footer { max-width: 1280px; margin: 0 auto; padding: 0 20px }
header { padding-top: 32px }
h1 { margin: 0 0 8px; font-size: 28px; line-height: 1.2 }
h2 { margin: 40px 0 12px; font-size: 20px; border-bottom: 1px solid var(--line); padding-bottom: 6px }
h3 { margin: 12px 0 6px; font-size: 17px; line-height: 1.3 }
nav a { margin-right: 14px; white-space: nowrap }
a { color: inherit }
.cards { display: grid; gap: 20px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px), 1fr)) }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; min-width: 0 }
.show { display: block; width: 100%; padding: 0; border: 0; background: #fff; border-radius: 6px; cursor: zoom-in }
.show img, dialog img { display: block; width: 100%; height: auto; border-radius: 6px }
article p { margin: 0 0 8px }
.quiet, details, footer { color: var(--muted); font-size: 14px }
code { font-size: 13px; overflow-wrap: anywhere }
details p { margin: 6px 0 0 }
.warning { border-left: 4px solid #d55e00; padding: 8px 12px; background: var(--card) }
dialog { width: min(96vw, 1500px); max-width: none; max-height: 96vh; border: 0; border-radius: 10px; padding: 12px;
  background: #fff; color: #1f2328; cursor: zoom-out }
dialog::backdrop { background: rgb(0 0 0 / 70%) }
footer { padding: 32px 20px }
"""
# Opens a figure in its full size; Escape, a click or the button closes it.
SCRIPT = """
const dialog = document.querySelector("dialog"), large = dialog.querySelector("img");
for (const button of document.querySelectorAll(".show"))
  button.addEventListener("click", () => {
    const image = button.querySelector("img");
    large.src = image.src; large.alt = image.alt; dialog.showModal();
  });
dialog.addEventListener("click", () => dialog.close());
"""


def write_page(entries: Sequence[Entry], found: Mapping[str, Made], folder: Path) -> None:
    """Writes the page with all figures that are made; the others are named with what makes them."""
    write_atomically(folder / PAGE, page(entries, found, folder).encode())


def page(entries: Sequence[Entry], found: Mapping[str, Made], folder: Path) -> str:
    parts = {part: list(group) for part, group in groupby(entries, lambda entry: entry.part)}
    links = " ".join(f'<a href="#{anchor(part)}">{escape(part)}</a>' for part in parts)
    sections = "".join(section(part, group, found, folder) for part, group in parts.items())
    quick = f'<p class="warning">{QUICK}</p>' if any(made.quick for made in found.values()) else ""
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gallery of lr-batch</title><style>{STYLE}</style></head>
<body>
<header><h1>How a network is tuned, in {len(found)} figures</h1>
<p>Each from a real training, by a recipe that its command runs again. Numbers in brackets are 90&nbsp;% intervals over
seeds unless the caption says otherwise. <code>lr-batch gallery</code> makes this page.</p>{quick}
<nav aria-label="Parts">{links}</nav></header>
<main>{sections}</main>
<footer>{escape("; ".join(sorted({made.made_with for made in found.values()})))}</footer>
<dialog aria-label="Figure in full size"><img alt=""></dialog>
<script>{SCRIPT}</script>
</body></html>
"""


def section(part: str, entries: Sequence[Entry], found: Mapping[str, Made], folder: Path) -> str:
    cards = "".join(card(entry, found.get(entry.name), folder) for entry in entries)
    return f'<section><h2 id="{anchor(part)}">{escape(part)}</h2><div class="cards">{cards}</div></section>\n'


def card(entry: Entry, made: Made | None, folder: Path) -> str:
    """One figure, or how to make it."""
    name, title = escape(entry.name), escape(entry.title)
    if made is None:
        how = f"Not made yet: <code>lr-batch gallery --only {name}</code>, about {escape(entry.time)} on two cores"
        return f'<article id="{name}"><h3>{title}</h3><p class="quiet">{how}</p></article>\n'
    data = base64.b64encode((folder / f"{entry.name}.png").read_bytes()).decode()
    caption = escape(entry.said(made.numbers))
    image = f'<img src="data:image/png;base64,{data}" alt="{title}. {caption}" loading="lazy">'
    return f"""<article id="{name}">
<button class="show" aria-label="Enlarge: {title}">{image}</button>
<h3>{title}</h3><p>{caption}</p>
<p class="quiet"><code>{escape(entry.command)}</code>, about {escape(entry.time)} on two cores</p>
<details><summary>What the recipe does, and what to expect</summary>{paragraphs(about(entry))}</details>
</article>
"""


def paragraphs(text: str) -> str:
    """A docstring as HTML: its paragraphs, and what stands between backticks as code."""
    whole = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    marked = (CODE.sub(r"<code>\1</code>", escape(paragraph)) for paragraph in whole)
    return "".join(f"<p>{paragraph}</p>" for paragraph in marked if paragraph)


def anchor(part: str) -> str:
    return "-".join(part.lower().split())


def escape(text: str) -> str:
    return html.escape(text)
