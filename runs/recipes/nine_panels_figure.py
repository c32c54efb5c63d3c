"""The figures of the nine panels, drawn from what the summaries of their studies say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import Estimate
from runs.curve.words import batch_estimate
from runs.plots import style

Row = tuple[int, Estimate]  # batch size, and what was measured there
DOUBT = " (unreliable)"


class Panel(NamedTuple):
    """What a summary says of its study.

    Attributes:
      steps: to the goal, where it was reached.
      rates: the best learning rate / (1 - momentum), or the best rate where no momentum was searched.
      size: the critical batch size, or where the curve does not fit that of the end of linear scaling; None where
        there is neither.
      said: what `size` is, and its number with the interval.
      curve: fewest steps, critical batch size and sharpness; None where the curve does not fit.
    """

    workload: str
    goal: str
    batch_sizes: tuple[int, ...]
    trials: int
    steps: tuple[Row, ...]
    rates: tuple[Row, ...]
    size: Estimate | None
    said: tuple[str, str]
    curve: tuple[float, float, float] | None

    def curve_at(self, batch_size: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"] | None:
        """S(B) = S_min (1 + (B_crit / B)^a)^(1 / a)."""
        if self.curve is None:
            return None
        fewest, critical, sharpness = self.curve
        return fewest * (1.0 + (critical / batch_size) ** sharpness) ** (1.0 / sharpness)


def panel_of(summary: Mapping[str, Any]) -> Panel:
    """What is drawn of a study, from its `summary.json`."""
    rows, goal = summary["steps_to_goal"], summary["goal"]
    sign, side = ("<", "below") if "below" in goal else (">", "above")
    size, said, curve = _size_of(summary["critical_batch_size"])
    return Panel(
        workload=summary["workload"],
        goal=f"{goal['metric']} {sign} {goal[side]:g}",
        batch_sizes=tuple(row["batch_size"] for row in rows),
        trials=summary["trials"],
        steps=_known((row["batch_size"], _estimate(row, "steps")) for row in rows),
        rates=_known(
            (row["batch_size"], _estimate(row.get("effective_rate", row["learning_rate"]))) for row in rows
        ),
        size=size,
        said=said,
        curve=curve,
    )


def _size_of(
    critical: Mapping[str, Any] | None,
) -> tuple[Estimate | None, tuple[str, str], tuple[float, float, float] | None]:
    """`size`, `said` and `curve` of a panel."""
    if critical is None:
        return None, ("not fitted", ""), None
    first, last = critical["measured"]["batch_sizes"]
    if not critical["test"]["fits"]:
        until = _estimate(critical["measured"]["linear_until"])
        return until, ("no curve fits; linear scaling until", _words(until, (first, last))), None
    size = _estimate(critical, "value")
    doubt = "" if critical["reliable"] else DOUBT
    said = "critical batch size", _words(size, (first, last)) + doubt
    return size, said, (critical["s_min"], critical["value"], critical["sharpness"])


def _words(size: Estimate | None, measured: tuple[int, int]) -> str:
    return batch_estimate(size, measured) if size else "not known"


def _estimate(found: Mapping[str, float | None], best: str = "best") -> Estimate | None:
    """A number with its interval; an end without a number, as JSON has no infinity, is open."""
    value, low, high = (found[name] for name in (best, "low", "high"))
    if value is None:
        return None
    return Estimate(value, 0.0 if low is None else low, math.inf if high is None else high)


def _known(rows: Any) -> tuple[Row, ...]:
    return tuple((size, estimate) for size, estimate in rows if estimate)


def draw_panels(
    panels: Mapping[str, Panel],
    names: Mapping[str, str],
    draw: Callable[[Axes, Panel], None],
    title: str,
    path: Path,
) -> Figure:
    """A frame for each of `names`, three in a row; empty where there is no panel of its letter."""
    figure = style.new_figure(10.5, 9.8)
    figure.text(0.06, 0.975, title, fontsize=13, fontweight="bold", color=style.INK, va="center")
    note = "networks in small, trained as published; bars and bands are 90 % intervals"
    note += "; dashed: in proportion to the batch size" if draw is draw_rates else ""
    figure.text(0.06, 0.95, note, fontsize=9.5, color=style.MUTED, va="center")
    for place, (letter, name) in enumerate(names.items()):
        row, column = divmod(place, 3)
        axes = style.add_axes(figure, 0.06 + 0.322 * column, 0.695 - 0.315 * row, 0.255, 0.2)
        if letter in panels:
            draw(axes, panels[letter])
            _name(axes, letter, panels[letter].workload, panels[letter].goal)
        else:
            axes.set_xticks([])
            axes.set_yticks([])
            style.note(axes, "not measured yet")
            _name(axes, letter, name, "")
    path.parent.mkdir(parents=True, exist_ok=True)
    style.save(figure, path.with_suffix(".svg"))
    return style.save(figure, path)


def _name(axes: Axes, letter: str, workload: str, goal: str) -> None:
    looks = {"transform": axes.transAxes, "va": "bottom", "fontsize": style.SMALL}
    axes.text(0, 1.1, f"({letter}) {style.plain(workload, 38)}", color=style.INK, fontweight="bold", **looks)
    axes.text(0, 1.02, style.plain(goal, 38), color=style.MUTED, **looks)


def draw_steps(axes: Axes, panel: Panel) -> None:
    """Steps with intervals; the curve where it fits."""
    _axes(axes, panel, "steps", panel.steps)
    _points(axes, panel.steps)
    if panel.size is None:
        return
    low, high = np.clip([panel.size.low, panel.size.high], *axes.get_xlim())
    axes.axvspan(low, high, color=style.VERMILION, alpha=0.13, linewidth=0, zorder=0)
    looks = {"transform": axes.transAxes, "ha": "right", "va": "top", "fontsize": 7.5, "color": style.RUST}
    axes.text(0.97, 0.95, "\n".join(panel.said), path_effects=style.over_lines(), **looks)
    batch = np.geomspace(*axes.get_xlim(), 100)
    curve = panel.curve_at(batch)
    if curve is not None:
        axes.plot(batch, curve, color=style.BLUE, linewidth=1.3)


def draw_rates(axes: Axes, panel: Panel) -> None:
    """Best effective rates; in proportion to the batch size along the dashed line."""
    _axes(axes, panel, "learning rate / (1 - momentum)", panel.rates)
    if panel.rates:
        (size, rate), *_ = panel.rates
        batch = np.array(axes.get_xlim())
        axes.plot(
            batch, rate.best * batch / size, color=style.MUTED, linewidth=1, linestyle=(0, (5, 3)), zorder=1.5
        )
    _points(axes, panel.rates)


def _axes(axes: Axes, panel: Panel, label: str, rows: Sequence[Row]) -> None:
    style.batch_axis(axes, panel.batch_sizes)
    axes.set_xticks(
        panel.batch_sizes, [f"{size}" if i % 2 == 0 else "" for i, size in enumerate(panel.batch_sizes)]
    )
    low, high = style.positive_span(*(estimate for _, estimate in rows))
    style.log_axis(axes.yaxis, label, low / 1.6, high * 1.6)
    axes.tick_params(labelsize=7.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_label().set_fontsize(8.5)


def _points(axes: Axes, rows: Sequence[Row]) -> None:
    if rows:
        batch, best, low, high = np.array([(size, *estimate) for size, estimate in rows], float).T
        looks = {"color": style.BLUE, "markersize": 4, "capsize": 2, "elinewidth": 1.1}
        axes.errorbar(batch, best, yerr=style.bars(best, low, high), fmt="o", zorder=4, **looks)
