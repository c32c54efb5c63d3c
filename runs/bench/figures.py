"""A benchmark: how long every peer takes for one study, and where the engine's time goes at each batch
size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runs.plots import style

_PEERS = {"serial": "idiomatic loop", "torch": "PyTorch loop", "pool": "process pool"}
_PROTOCOLS = {"unraced": ", no race", "raced": ", raced", "oracle": ", oracle race"}
PARTS = (
    ("gather", "gather", style.SKY),
    ("gradient", "gradient", style.BLUE),
    ("update", "update", style.GREEN),
    ("evaluation", "evaluation", style.ORANGE),
    ("rest", "rest of the step", style.MUTED),
)


def bench(report: Mapping[str, Any], path: str | Path | None = None) -> Figure:
    """Left: seconds of the whole study, peers as multiples of the engine. Right: the bound's share and the
    parts.

    Written to `path` (PNG, say) and next to it as SVG, if given.
    """
    figure = style.new_figure(11.4, 5.0)
    work, machine = report["work"], report["machine"]
    device = machine["processor"] if machine["platform"] == "cpu" else machine["device"]
    style.headline(
        figure,
        f"The same {report['trials']:,} trials",
        style.plain(f"{work['workload']} · {work['optimizer']} · {device}", 80),
        left=0.19,
    )
    _draw_peers(style.add_axes(figure, left=0.19, bottom=0.2, width=0.33, height=0.63), report)
    _draw_parts(style.add_axes(figure, left=0.6, bottom=0.2, width=0.385, height=0.63), report["batch_sizes"])
    if path is not None:
        style.save(figure, Path(path).with_suffix(".svg"))
    return style.save(figure, path)


def bars_of(report: Mapping[str, Any]) -> list[tuple[str, float, float, float, str]]:
    """(name, seconds, low, high, text) of each bar, the engine's first."""
    engine = report["engine"]
    rows = [
        (
            name,
            engine[key]["median"],
            engine[key]["low"],
            engine[key]["high"],
            f"{engine[key]['median']:.3g} s",
        )
        for name, key in (("engine, warm", "warm"), ("engine, cold", "cold"))
    ]
    for peer, measured in report["peers"].items():
        for protocol, suffix in _PROTOCOLS.items():
            if protocol in measured:
                value = measured[protocol]
                ratio = value["times_engine_cold"]["median"]
                text = f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x"
                rows.append((_PEERS[peer] + suffix, value["seconds"], value["low"], value["high"], text))
    return rows


def _draw_peers(axes: Axes, report: Mapping[str, Any]) -> None:
    names, seconds, low, high, texts = zip(*bars_of(report), strict=True)
    places, seconds = np.arange(len(names)), np.array(seconds)
    own = [name.startswith("engine") for name in names]
    axes.barh(places, seconds, color=[style.BLUE if mine else style.MUTED for mine in own], height=0.62)
    axes.errorbar(
        seconds,
        places,
        xerr=style.bars(seconds, np.array(low), np.array(high)),
        fmt="none",
        color=style.INK,
        capsize=3,
        elinewidth=1.2,
    )
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    style.log_axis(
        axes.xaxis, "seconds for the whole study (x: times the engine, cold)", min(seconds) / 2, max(high) * 4
    )
    for place, end, text in zip(places.tolist(), high, texts, strict=True):
        axes.text(end * 1.12, place, text, va="center", fontsize=style.SMALL, color=style.INK)


def parts_of(row: Mapping[str, float]) -> dict[str, float]:
    """Share of each part in what the engine spends on a batch size; a sum of parts above the step counts as
    the whole."""
    steps = row["steps"]
    found = {
        "gather": row["gather"] * steps,
        "gradient": max(0.0, row["gather_and_gradient"] - row["gather"]) * steps,
        "update": row["update"] * steps,
        # A report of an earlier version has no other: every evaluation read all rows.
        "evaluation": row.get("evaluating", row["evaluation"] * row["evaluations"]),
    }
    inside = sum(found.values()) - found["evaluation"]
    found["rest"] = max(0.0, row["step"] * steps - inside)
    return {name: value / sum(found.values()) for name, value in found.items()}


def _draw_parts(axes: Axes, rows: list[Mapping[str, float]]) -> None:
    places, below = np.arange(len(rows)), np.zeros(len(rows))
    for part, name, colour in PARTS:
        share = np.array([parts_of(row)[part] for row in rows])
        axes.bar(places, share, bottom=below, color=colour, width=0.7, label=name, alpha=0.75)
        below += share
    axes.plot(
        places,
        [row["share_of_bound"] for row in rows],
        "o-",
        color=style.INK,
        markersize=4,
        linewidth=1.2,
        label="a step's share of the bound",
    )
    sizes = [row["batch_size"] for row in rows]
    axes.set_xticks(places, style.spaced_labels(sizes, (places + 0.5) / len(rows), style.inches(axes)))
    axes.set_xlabel("batch size (examples)", fontsize=10, color=style.INK)
    axes.set_ylabel("share of the engine's time", fontsize=10, color=style.INK)
    axes.set_ylim(0.0, 1.03 * max(1.0, *(row["share_of_bound"] for row in rows)))
    axes.grid(False, axis="x")
    style.legend_below(axes)
