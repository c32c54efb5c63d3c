"""What a figure of the gallery is: a recipe, the numbers to read off what it returns, and a caption around them."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lr_batch import Estimate

NOT_MEASURED = "not measured"
# A number as it is kept: alone, or with its interval.
Kept = float | str | dict[str, float | None]


class Entry(NamedTuple):
    """One figure.

    Attributes:
      name: on the command line and of its files.
      part: of the lecture; entries of one part follow each other.
      title: what the figure is about.
      recipe: module whose `main(out, quick=...)` trains, draws and returns what was measured. Its docstring has the
        command, the time it takes and the number to expect.
      numbers: reads off the returned value what the caption says.
      caption: sentences with a field such as `{decayed}` for each number.
      time: what it takes on two idle cores, about.
      figure: file in the folder `out`, where the recipe fills one; None where `out` is the figure itself.
      long: whether it takes longer than all the others, and is made only where it is asked for by name.
    """

    name: str
    part: str
    title: str
    recipe: str
    numbers: Callable[[Any], Mapping[str, Any]]
    caption: str
    time: str
    figure: str | None = None
    long: bool = False

    @property
    def command(self) -> str:
        return f"python -m {self.recipe}"

    @property
    def fields(self) -> set[str]:
        """Names of the numbers that the caption says."""
        return {name for _, name, _, _ in string.Formatter().parse(self.caption) if name}

    def said(self, numbers: Mapping[str, Kept]) -> str:
        """The caption with its numbers."""
        return self.caption.format_map({name: shown(number) for name, number in numbers.items()})


def kept(number: Any) -> Kept:
    """A number, an estimate or a word as JSON has it."""
    if isinstance(number, Estimate):
        return {name: kept_alone(value) for name, value in number._asdict().items()}
    if isinstance(number, str):
        return number
    return NOT_MEASURED if (alone := kept_alone(number)) is None else alone


def kept_alone(value: float) -> float | None:
    return float(value) if abs(value) < float("inf") else None


def shown(number: Kept) -> str:
    """A number in a sentence.

    >>> shown({"best": 0.3512, "low": 0.2, "high": 0.61}), shown(1400.0), shown({"best": 1.0, "low": None, "high": None})
    ('0.351 (0.2 to 0.61)', '1,400', '1 (no interval)')
    """
    if isinstance(number, str):
        return number
    if not isinstance(number, dict):
        return figures(number)
    best, low, high = (number[name] for name in ("best", "low", "high"))
    if best is None:
        return NOT_MEASURED
    if low is None or high is None:
        return f"{figures(best)} (no interval)"
    near_zero = abs(best) < 1e-5 * (high - low)  # but for rounding
    return f"{figures(0.0 if near_zero else best)} ({figures(low)} to {figures(high)})"


def figures(value: float) -> str:
    """Three significant ones, with commas in thousands; a minus sign where there is one."""
    text = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}".replace("e-0", "e-")
    return text.replace("-", "−", 1) if text.startswith("-") else text
