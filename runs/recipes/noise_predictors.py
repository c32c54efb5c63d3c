"""Noise scales beside measured critical batch sizes, over workloads and optimizers: does the one predict the other?"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import lr_batch
from lr_batch.data import DataNotPrepared
from runs.curve.run import run_in_folder
from runs.noise.beside_curve import at_best_setting
from runs.noise.run import measured
from runs.plots import style
from runs.text import Printer, table
from runs.write import write_json

COLOURS = {"sgd": style.BLUE, "momentum": style.ORANGE, "adamw": style.GREEN, "muon": style.PURPLE}
MARKERS = dict(
    zip(("noisy_quadratic", "digits_mlp", "digits_cnn", "fashion_mnist_fc", "pydoc_lm"), "osD^v", strict=True)
)
# In the summary of a noise scale: over the whole training, and at its end in several norms.
SCALES = {
    "mean_simple": "B_simple, over the training",
    "curved": "B_noise, with curvature",
    "sign": "sign-like updates",
    "spectral": "spectral updates",
}


class Case(NamedTuple):
    """A workload with its batch sizes and seeds; `options` of its factory."""

    workload: str
    batch_sizes: tuple[int, ...]
    seeds: int = 4
    options: Mapping[str, int] = {}


CASES = (
    Case("noisy_quadratic", tuple(2**i for i in range(11))),
    Case("digits_mlp", tuple(2**i for i in range(11))),
    Case("digits_cnn", tuple(2**i for i in range(11))),
    Case("fashion_mnist_fc", tuple(2**i for i in range(3, 12))),
    Case("pydoc_lm", tuple(2**i for i in range(8))),
)
QUICK = (Case("digits_mlp", (4, 16, 64, 256), seeds=2, options={"width": 8}),)


def main(out: str = "noise_predictors", *, quick: bool = False) -> list[dict[str, Any]]:
    """Curves of four optimizers on five workloads, and noise scales at the best setting of each, as table and figure.

    For SGD, momentum, AdamW and Muon the curve is measured as by `lr-batch curve`; at its best setting nearest to the
    critical batch size one trial is trained with noise scales in four norms. Everything is kept in folders of `out`: the
    same command goes on where it was.
    Command: `python -m runs.recipes.noise_predictors`; hours on 2 CPU cores, fashion_mnist_fc taking most of them. Where
    its data are not prepared it is left out, and the table says so. Only the short form (--quick, 40 seconds of a
    processor) has been run: nothing is claimed here of which scale predicts best.

    Args:
      out: folder of the curves, the noise scales, predictors.json and predictors.png.
      quick: SGD and Muon on a small digits_mlp.
    """
    folder, rows = Path(out), []
    for case in QUICK if quick else CASES:
        for optimizer in ("sgd", "muon") if quick else COLOURS:
            try:
                rows.append(row_of(case, optimizer, folder, quick=quick))
            except DataNotPrepared as error:
                print(f"{case.workload} is left out: {error}")
                break
            except (ValueError, lr_batch.StudyError) as error:
                print(f"{case.workload} with {optimizer} is left out: {error}")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "predictors.json", rows)
    print_rows(rows)
    draw(rows, folder / "predictors.png")
    print(folder.resolve())
    return rows


def row_of(case: Case, optimizer: str, folder: Path, *, quick: bool = False) -> dict[str, Any]:
    """Measured critical batch size and noise scales of one workload with one optimizer.

    Raises:
      ValueError: too few batch sizes reached the goal.
    """
    study = lr_batch.Study(
        lr_batch.as_workload(case.workload, **case.options),
        optimizer=optimizer,
        batch_sizes=case.batch_sizes,
        seeds=case.seeds,
        goal=lr_batch.Goal("loss", 0.5) if quick else None,
    )
    name = f"{case.workload}-{optimizer}"
    _, result = run_in_folder(study, folder / name)
    critical = lr_batch.critical_batch_size(result)
    trial = at_best_setting(study, result)
    _, noise = measured(trial, folder / f"noise-{name}")
    at_end = noise["points"][-1]
    scales = {"mean_simple": noise["mean_simple"]} | {key: at_end[key] for key in SCALES if key in at_end}
    return {
        "workload": case.workload,
        "optimizer": optimizer,
        "batch_size": noise["batch_size"],
        "critical": {"best": critical.value, "low": critical.low, "high": critical.high},
        "reliable": critical.reliable,
        "scales": scales,
    }


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """One row per workload and optimizer: the measured critical batch size, and each scale over it."""
    headings = ("workload", "optimizer", "critical batch size", *(f"{name} / it" for name in SCALES.values()))
    cells = [
        (
            row["workload"],
            row["optimizer"],
            "{best:,.0f} ({low:,.0f} to {high:,.0f})".format(**row["critical"])
            + ("" if row["reliable"] else " ?"),
            *(_ratio(row["scales"].get(name), row["critical"]["best"]) for name in SCALES),
        )
        for row in rows
    ]
    Printer(sys.stdout)(table(headings, cells, left=2))


def _ratio(scale: Mapping[str, float | None] | None, critical: float) -> str:
    if scale is None:
        return "none"
    return "infinite" if scale["best"] is None else f"{scale['best'] / critical:.2g}"


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> Figure:
    """Each scale against the critical batch size; on the line it would be right."""
    figure = style.new_figure(13.2, 4.7)
    style.headline(
        figure,
        "Noise scales against measured critical batch sizes",
        "examples, 90% intervals; on the line: equal",
        0.055,
    )
    if not rows:
        style.note(style.add_axes(figure), "no curve could be fitted")
        return style.save(figure, path)
    ends = [row["critical"]["best"] for row in rows]
    ends += [scale["best"] for row in rows for scale in row["scales"].values() if scale and scale["best"]]
    low, high = style.positive_span(ends)
    for place, (name, label) in enumerate(SCALES.items()):
        axes = style.add_axes(figure, left=0.055 + 0.24 * place, width=0.195, bottom=0.25, height=0.53)
        style.log_axis(axes.xaxis, "measured critical batch size", low / 2.5, high * 2.5)
        style.log_axis(axes.yaxis, "" if place else "noise scale", low / 2.5, high * 2.5)
        axes.set_title(label, fontsize=9.5, color=style.INK, loc="left")
        axes.plot([low / 2.5, high * 2.5], [low / 2.5, high * 2.5], color=style.MUTED, linewidth=1.0)
        for row in rows:
            _draw_row(axes, row, name)
    unique = dict(zip(*reversed(axes.figure.axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(
        unique.values(),
        unique.keys(),
        loc="center",
        bbox_to_anchor=(0.5, 0.06),
        ncols=7,
        frameon=False,
        fontsize=style.SMALL,
    )
    return style.save(figure, path)


def _draw_row(axes: Axes, row: Mapping[str, Any], name: str) -> None:
    scale = row["scales"].get(name)
    if scale is None or scale["best"] is None:
        return
    x, y = np.array([row["critical"][end] for end in ("best", "low", "high")]), scale["best"]
    top = math.inf if scale["high"] is None else scale["high"]
    axes.errorbar(
        [x[0]],
        [y],
        xerr=style.bars(x[:1], x[1:2], x[2:]),
        yerr=style.bars(np.array([y]), np.array([scale["low"]]), np.array([top])),
        fmt=MARKERS[row["workload"]],
        color=COLOURS[row["optimizer"]],
        markersize=6,
        elinewidth=0.9,
        label=f"{row['workload']}, {row['optimizer']}",
    )


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:2] if word != "--quick"), quick="--quick" in sys.argv)
