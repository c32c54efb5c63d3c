"""Progress in the output of a notebook's cell: one bar that moves, in the place of lines that pile up."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

SECONDS = 0.5  # between two drawings


class Cell:
    """The output of the cell that runs now; `show` draws it again.

    Args:
      display: `IPython.display.display`.
    """

    def __init__(self, display: Any):
        self._display, self._shown, self._last = display, None, 0.0

    def show(self, title: str, share: float | None, lines: Sequence[str], *, last: bool = False) -> None:
        """What a terminal shows, at most twice a second and at the `last`."""
        if not last and time.monotonic() - self._last < SECONDS:
            return
        self._last = time.monotonic()
        told = {"text/html": bar(title, share, lines), "text/plain": "\n".join([title, *lines])}
        if self._shown is None:
            self._shown = self._display(told, raw=True, display_id=True)
        else:
            self._shown.update(told, raw=True)


def bar(title: str, share: float | None, lines: Sequence[str]) -> str:
    """The name of a study with a bar, and what there is to say under it; without a share the bar only moves."""
    done = "" if share is None else f' value="{share:.3f}"'
    percent = "" if share is None else f" {share:.0%}"
    head = f"<b>{html.escape(title)}</b> <progress{done}></progress>{percent}"
    return f"<div>{'<br>'.join([head, *map(html.escape, lines)])}</div>"


def running_cell() -> Cell | None:
    """The cell that is being executed; None outside of a notebook's kernel, which has its own stderr."""
    if not type(sys.stderr).__module__.startswith("ipykernel."):
        return None
    return Cell(import_module("IPython.display").display)
