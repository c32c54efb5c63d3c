"""Tables and sentences on a terminal: one look, one width, and names that can do no harm."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import IO, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Columns in a file or a pipe, which have no width of their own: of a table, and of sentences.
WIDTH, SENTENCES = 120, 100
# Of the invisible characters (Unicode "Cf") those that turn the direction of what stands around them.
TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def harmless(text: str) -> str:
    r"""The text with control characters, such as a terminal's escapes, written out; line breaks stay.

    So are bytes of a path that are no text, which nothing could print.

    >>> print(harmless("a\x1b[31mb"))
    a\x1b[31mb
    """
    return "".join(_written_out(c) if _acts(c) else c for c in text)


def _acts(character: str) -> bool:
    return character in TURNING or (unicodedata.category(character) in ("Cc", "Cs") and character != "\n")


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()


class Printer:
    """Prints tables and lines to `stream`; sentences are broken between words."""

    def __init__(self, stream: IO[str]):
        width = None if stream.isatty() else WIDTH
        self._console = _Console(file=stream, highlight=False, markup=False, emoji=False, width=width)
        self._sentences = width and SENTENCES

    def __call__(self, what: str | Table = "") -> None:
        if isinstance(what, str):
            self._console.print(harmless(what), width=self._sentences)
        else:
            self._console.print(what)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would leave the process, which nobody could tell from a user's code that does."""
        raise BrokenPipeError


def table(
    headings: Sequence[str], rows: Sequence[Sequence[Any]] = (), *, left: int = 0, title: str = ""
) -> Table:
    """A table whose first `left` columns are words and the others numbers."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    made.title = Text(harmless(title)) if title else None
    for number, heading in enumerate(headings):
        made.add_column(Text(harmless(heading)), justify="left" if number < left else "right")
    for row in rows:
        add_row(made, row)
    return made


def add_row(made: Table, cells: Sequence[Any]) -> None:
    """One more row of `table`; what a cell holds is shown as it is, never read as markup."""
    made.add_row(*(Text(harmless(str(cell))) for cell in cells))
