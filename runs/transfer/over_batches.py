"""Whether the best rate transfers over batch size and width together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.figure import Figure
from rich.table import Table

from lr_batch import Estimate, estimate
from runs.plots import style
from runs.text import table
from runs.transfer.best_rate import BestRate, best_rates, minimum, octaves_text
from runs.transfer.run import TransferPlan
from runs.write import plain

Losses = Float[np.ndarray, "widths batch_sizes seeds rates"]
UNKNOWN = Estimate(np.nan, -np.inf, np.inf)


class OverBatches(NamedTuple):
    """Of one parameterization.

    Attributes:
      best: of every batch size the best rates of the widths, as from one batch size alone.
      exponents: of the best rate against the batch size, at each width: octaves of rate in an octave of batch.
      difference: of the last width's exponent from the first one's, seed by seed.
    """

    best: tuple[tuple[BestRate, ...], ...]
    exponents: tuple[Estimate, ...]
    difference: Estimate


def over_batches(plan: TransferPlan, loss: Losses) -> OverBatches:
    """Exponents are slopes over all batch sizes; unknown where a best rate lies on the edge of the grid."""
    best = tuple(best_rates(plan.widths, plan.rates, loss[:, i]) for i in range(len(plan.batch_sizes)))
    octaves = np.log2(plan.rates)
    where = np.array(
        [[[minimum(octaves, np.log(seed))[0] for seed in rows] for rows in width] for width in loss]
    )
    places = np.argmin(loss, axis=-1)
    on_edge = [bool(np.isin(width, (0, len(plan.rates) - 1)).any()) for width in places]
    slopes = np.array([np.polyfit(np.log2(plan.batch_sizes), one, 1)[0] for one in where])  # [widths, seeds]
    exponents = tuple(UNKNOWN if edge else estimate(s) for edge, s in zip(on_edge, slopes, strict=True))
    apart = UNKNOWN if on_edge[0] or on_edge[-1] else estimate(slopes[-1] - slopes[0])
    return OverBatches(best, exponents, apart)


def summary_of(plan: TransferPlan, found: Mapping[str, OverBatches]) -> dict[str, Any]:
    """JSON-like, for `summary.json`; numbers that are unknown are null."""
    return plain(
        {
            "batch_sizes": list(plan.batch_sizes),
            **{
                name: {
                    "best": [
                        [
                            row._asdict() | {"rate": row.rate._asdict(), "octaves": row.octaves._asdict()}
                            for row in rows
                        ]
                        for rows in one.best
                    ],
                    "exponents": [exponent._asdict() for exponent in one.exponents],
                    "difference": one.difference._asdict(),
                }
                for name, one in found.items()
            },
        }
    )


def batches_table(summary: Mapping[str, Any], names: Sequence[str]) -> Table:
    """The first and the last width at every batch size."""
    over, widths = summary["over_batch_sizes"], summary["widths"]
    headings = (
        "parameterization",
        "batch size",
        f"best rate, width {widths[0]:,}",
        f"width {widths[-1]:,}",
        "octaves between",
        "loss at the first's rate",
    )
    rows = [
        (
            name,
            f"{size:,}",
            f"{of_widths[0]['rate']['best']:.3g}",
            f"{of_widths[-1]['rate']['best']:.3g}",
            octaves_text(of_widths[-1]["octaves"]),
            f"x {of_widths[-1]['kept']:.2f}" if of_widths[-1]["kept"] else "diverged",
        )
        for name in names
        for size, of_widths in zip(over["batch_sizes"], over[name]["best"], strict=True)
    ]
    return table(headings, rows, left=1)


def lines_of(summary: Mapping[str, Any], name: str) -> list[str]:
    """What the best rate does with the batch size at the first and the last width, and whether that differs."""
    of, widths = summary["over_batch_sizes"][name], summary["widths"]
    first, last = (_power(of["exponents"][i]) for i in (0, -1))
    line = f"{name:8s} best rate grows as {first} of the batch size at width {widths[0]:,}, {last} at {widths[-1]:,}"
    apart = of["difference"]
    if apart["best"] is None:
        return [
            f"{line}: whether that differs is unknown, best rates lie on the edge: widen --learning-rates"
        ]
    differs = apart["low"] > 0 or apart["high"] < 0
    said = "the batch size moves it otherwise in a wide network" if differs else "no difference to be seen"
    return [f"{line}; apart by {apart['best']:+.2f} ({apart['low']:+.2f} to {apart['high']:+.2f}): {said}"]


def _power(exponent: Mapping[str, float | None]) -> str:
    if exponent["best"] is None:
        return "an unknown power (edge)"
    return f"the power {exponent['best']:.2f} ({exponent['low']:.2f} to {exponent['high']:.2f})"


def draw(
    plan: TransferPlan, found: Mapping[str, OverBatches], setting: str, path: str | Path | None
) -> Figure:
    """Best rate against batch size, a line for each width, a panel for each parameterization."""
    figure = style.new_figure(10.2, 4.9)
    style.headline(
        figure,
        "Does the best rate transfer over batch size and width?",
        style.plain(f"{setting} · 90% intervals", 110),
        left=0.075,
    )
    every = [end for one in found.values() for rows in one.best for row in rows for end in row.rate]
    low, high = style.positive_span(every)
    shades = colormaps["viridis_r"](np.linspace(0.12, 1.0, len(plan.widths)))
    for i, (name, one) in enumerate(found.items()):
        axes = style.add_axes(figure, left=0.075 + 0.485 * i, bottom=0.2, width=0.41, height=0.6)
        style.batch_axis(axes, plan.batch_sizes)
        style.log_axis(axes.yaxis, "" if i else "best learning rate", low / 1.4, high * 1.4)
        axes.set_title(name, fontsize=10, color=style.INK, loc="left")
        for number, (width, colour) in enumerate(zip(plan.widths, shades, strict=True)):
            best, below, above = np.array([rows[number].rate for rows in one.best]).T
            axes.errorbar(
                plan.batch_sizes,
                best,
                yerr=style.bars(best, below, above),
                color=colour,
                marker="o",
                markersize=4.5,
                linewidth=1.4,
                label=f"width {width:,}",
            )
    style.legend_of_panels(figure, axes.get_legend_handles_labels()[0], 8, height=0.06)
    return style.save(figure, path)
