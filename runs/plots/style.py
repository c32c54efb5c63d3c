"""What the figures share: colours, axes, text that is never read as a formula, saving."""

from __future__ import annotations

import contextlib
import io
import textwrap
import warnings
from collections.abc import Generator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.legend import Legend
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lr_batch import Result
from runs.write import write_atomically

# Okabe and Ito (2008): told apart with every common colour vision deficiency.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
RUST = (
    "#A84300"  # vermilion for letters, which on white need 4.5 to 1 (WCAG 2.2, level AA); vermilion has 3.9
)
INK, MUTED, FAINT = "#1f2328", "#6b7280", "#d9dce1"
SMALL, SMALLEST = 8.5, 7.5
# Dots of single seeds stand this factor to the left of their batch size, clear of its error bar.
BESIDE = 2**-0.17
ASIDE, WIDEST = (
    0.05,
    0.2,
)  # octaves between two series, and between the first and the last: no point leaves its curve
DPI = 160
_CHARACTER = 0.084  # width of one of a tick label, in inches


class ShownFigure(Figure):
    """A figure that a notebook shows, without a global backend."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png")
        return data.getvalue()


def new_figure(width: float = 7.2, height: float = 4.8) -> Figure:
    """An empty figure, size in inches, that belongs to no global state."""
    figure = ShownFigure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_axes(
    figure: Figure, left: float = 0.105, bottom: float = 0.125, width: float = 0.865, height: float = 0.725
) -> Axes:
    """Axes in fractions of the figure."""
    axes = figure.add_axes((left, bottom, width, height))
    dress(axes)
    return axes


def dress(axes: Axes) -> None:
    """The looks of all axes: two spines, and a faint grid below the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(which="both", color=MUTED, labelcolor=INK, labelsize=9)
    axes.grid(True, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def plain(text: str, width: int = 60) -> str:
    """`text` on one line, cut to `width` characters, in which `$` and `_` mean themselves."""
    line = " ".join(str(text).split())
    line = line if len(line) <= width else line[: width - 1] + "…"
    return line.replace("$", r"\$")


def headline(figure: Figure, title: str, subtitle: str, left: float = 0.105) -> None:
    """What is drawn, and below it which study it was measured in; smaller, then cut, where it would leave the figure."""
    looks = {"color": INK, "fontweight": "bold", "fontsize": 12.5}
    for height, text, look in ((0.957, title, looks), (0.908, subtitle, {"color": MUTED, "fontsize": 9.5})):
        with _any_script():
            _fit(figure, figure.text(left, height, text, va="center", **look), 0.985 - left)


def _fit(figure: Figure, text: Text, share: float) -> None:
    """Makes `text` at most so wide, in parts of the figure's width."""
    width = lambda: text.get_window_extent().width / figure.bbox.width
    if width() > share:
        text.set_fontsize(max(SMALLEST, text.get_fontsize() * share / width()))
    while width() > share and len(text.get_text()) > 2:
        kept = min(len(text.get_text()) - 2, int(len(text.get_text()) * share / width()))
        text.set_text(text.get_text()[:kept].rstrip("\\… ") + "…")


def study_line(result: Result) -> str:
    """Workload, optimizer and goal, fit to be drawn; the optimizer, with its schedule, takes what the others leave."""
    workload, goal = plain(result.workload, 36), plain(str(result.goal), 32)
    return f"{workload} · {plain(result.optimizer, 90 - len(workload) - len(goal))} · goal: {goal}"


def batch_axis(axes: Axes, batch_sizes: Sequence[int] | np.ndarray) -> None:
    """Log2 x-axis with ticks at the batch sizes of the study, labelled as densely as fits."""
    sizes = np.unique(batch_sizes)
    low, high = np.log2(sizes[0]) - 0.5, np.log2(sizes[-1]) + 0.5
    axes.set_xscale("log", base=2)
    axes.set_xlim(2**low, 2**high)
    places = (np.log2(sizes) - low) / (high - low)
    axes.set_xticks(sizes, spaced_labels(sizes, places, inches(axes)))
    axes.set_xticks([], minor=True)
    axes.set_xlabel("batch size (examples)", fontsize=10, color=INK)


def inches(axes: Axes) -> float:
    """Width of the axes, on paper."""
    return axes.get_position().width * axes.figure.bbox.width / axes.figure.dpi


def spaced_labels(
    values: Sequence[float] | np.ndarray, positions: Sequence[float] | np.ndarray, width: float = 6.2
) -> list[str]:
    """`values` as text, empty where the text would touch the last one to the left.

    `positions` are fractions of the axis, ascending; `width` is its length in inches.
    """
    labels, end, character = [], -1.0, _CHARACTER / width
    for value, position in zip(values, positions, strict=True):
        text = f"{value}"
        half = (len(text) + 1) * character / 2
        fits = position - half >= end
        labels.append(text if fits else "")
        end = position + half if fits else end
    return labels


def beside(index: int, count: int) -> float:
    """Factor on a log axis that sets one of `count` series beside the others, whose bars it would else cover."""
    step = min(ASIDE, WIDEST / max(1, count - 1))
    return 2.0 ** (step * (index - (count - 1) / 2))


def positive_span(*values: Any) -> tuple[float, float]:
    """Least and greatest of the positive finite `values`, (1, 10) if there are none.

    An interval of two seeds may have no upper end, and one of a difference may begin below zero: neither has a
    place on a log axis.
    """
    flat = np.array([number for value in values for number in np.ravel(np.asarray(value, float))])
    shown = flat[np.isfinite(flat) & (flat > 0)]
    return (float(shown.min()), float(shown.max())) if len(shown) else (1.0, 10.0)


def log_axis(axis: Any, label: str, low: float, high: float) -> None:
    """Log10 axis over [low, high] with plain numbers; 2 and 5 are labelled on short axes."""
    axes, name = axis.axes, axis.axis_name
    getattr(axes, f"set_{name}scale")("log")
    getattr(axes, f"set_{name}lim")(low, high)
    subs = (1.0,) if high / low > 300 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_minor_locator(LogLocator(subs=(2.0, 5.0), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_label_text(label, fontsize=10, color=INK)


def compact(value: float) -> str:
    """A tick label: 1e-5, 0.05, 200, 5k, 1M."""
    for unit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{suffix}"
    return f"{value:g}".replace("e-0", "e-")


def count(value: float) -> str:
    """A number in running text: 2.4, 92, 3,132."""
    return f"{value:.2g}" if value < 99.5 else f"{value:,.0f}"


def bars(middle: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Lengths [2, n] of error bars from `low` to `high` around `middle`, as matplotlib wants them.

    A bar without an end leaves every axes that is drawn, since one of infinite length is not drawn at all.
    """
    longest = 1e9 * np.maximum(np.abs(middle), np.finfo(float).tiny)
    return np.clip([middle - low, high - middle], 0.0, longest)


def estimates(axes: Axes, x: Any, best: Any, low: Any, high: Any, **look: Any) -> None:
    """Points with their intervals; `look` as for `Axes.errorbar`."""
    axes.errorbar(x, best, yerr=bars(best, low, high), markersize=5, **look)


def legend_of_panels(
    figure: Figure | SubFigure,
    handles: Sequence[Artist],
    columns: int,
    *,
    middle: float = 0.5,
    height: float = 0.05,
    fontsize: float = SMALL,
) -> Legend:
    """One legend for all panels, in the strip below them; its centre in fractions of the figure."""
    look = {"loc": "center", "frameon": False, "fontsize": fontsize}
    return figure.legend(handles=handles, bbox_to_anchor=(middle, height), ncols=columns, **look)


def legend_below(axes: Axes, handles: Sequence[Artist] | None = None) -> None:
    """A legend in the strip below the axes, where it can hide nothing: as many columns as the figure is wide."""
    handles = axes.get_legend_handles_labels()[0] if handles is None else handles
    figure, box = axes.figure, axes.get_position()
    for columns in range(len(handles), 0, -1):
        legend = legend_of_panels(figure, handles, columns, middle=box.x0 + box.width / 2)
        drawn = legend.get_window_extent()
        if columns == 1 or (drawn.x0 >= 0 and drawn.x1 <= figure.bbox.width):
            return
        legend.remove()


def over_lines() -> list[AbstractPathEffect]:
    """Path effects of a text that lines may cross: they end beside its letters."""
    return [withStroke(linewidth=3.0, foreground="white", alpha=0.85)]


def note(axes: Axes, text: str) -> None:
    """Says in the middle of the axes why something is not drawn."""
    axes.text(
        0.5,
        0.5,
        plain(text, 200),
        transform=axes.transAxes,
        ha="center",
        va="center",
        wrap=True,
        fontsize=10,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": FAINT, "boxstyle": "round,pad=0.6"},
    )


def broken(axes: Axes, *lines: str) -> str:
    """Lines of small text, broken where they would leave the axes."""
    width = max(20, int(inches(axes) / 0.0595))
    return "\n".join(textwrap.fill(line, width) for line in lines)


def remark(axes: Axes, text: str) -> None:
    """A line in the lower left corner that qualifies the figure."""
    text = broken(axes, plain(text, 110))
    axes.text(0.015, 0.045, text, transform=axes.transAxes, fontsize=SMALL, color=RUST, va="bottom")


# A format in which every figure is written beside its own, such as "pdf" for a paper.
FURTHER: ContextVar[str | None] = ContextVar("further", default=None)
OPTIONS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
    # Halves the time that a small figure takes, for a third more bytes
    "png": {"pil_kwargs": {"compress_level": 2}},
}


def save(figure: Figure, path: str | Path | None) -> Figure:
    """Writes `figure` in the format of the path's suffix, and in `FURTHER`; equal figures give equal bytes."""
    if path is not None:
        for kind in {Path(path).suffix[1:], FURTHER.get() or Path(path).suffix[1:]}:
            write_atomically(Path(path).with_suffix(f".{kind}"), _drawn(figure, kind))
    return figure


@contextlib.contextmanager
def _any_script() -> Generator[None]:
    """A name in a script that the font lacks is drawn as boxes: ugly, but no reason to fail."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _drawn(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    with _any_script(), matplotlib.rc_context({"svg.hashsalt": "lr-batch"}):
        figure.savefig(buffer, format=kind, dpi=DPI, **OPTIONS.get(kind, {}))
    return buffer.getvalue()
