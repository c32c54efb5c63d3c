"""From small batch sizes to larger ones: a noisy quadratic's curve, fitted up to B, against what 4 B and 16 B need."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import lr_batch
from runs.plots import style
from runs.write import write_json

RESULTS = Path(__file__).parents[1] / "results"
WORKLOADS = ("noisy_quadratic", "digits_mlp", "digits_cnn", "fashion_mnist_fc", "pydoc_lm")
# Half of a 90 % interval in standard errors; the summaries do not say how many seeds a row has
NORMAL = 1.645
LEAST_ERROR = 0.02


def main(out: str = "runs/results/prediction") -> dict[str, Any]:
    """Errors of predictions on the kept curves: of five workloads with SGD, and of nine more optimizers on digits_mlp.

    Nothing is trained. Command: `python -m runs.recipes.spectrum_prediction`; ten seconds. A curve is fitted to the three
    smallest batch sizes, then to four, and so on; each fit is compared with the steps at 4 and at 16 times its largest
    batch size, where they were measured.
    Expect, with SGD, steps within a factor of 1.06 in the median at 4 B (23 predictions, nine in ten within 1.31) and of
    1.17 at 16 B (15, within 1.63); the hyperbola's are 1.07 (1.28) and 1.21 (2.21). fashion_mnist_fc and pydoc_lm have
    one prediction each, since four batch sizes were kept of them. With the other optimizers, on digits_mlp alone, it is
    1.20 (1.91) and 1.75 (4.43), worse than the hyperbola's 1.21 (1.62) and 1.51 (2.67): at small batch sizes they scale
    better than perfectly, or worse, which no quadratic does with SGD.

    Args:
      out: folder of prediction.json and prediction.png.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [dict(workload=workload, optimizer=name, **row) for workload, name, row in _rows()]
    found = {"errors": errors(rows), "rows": rows}
    write_json(folder / "prediction.json", found)
    draw(rows, folder / "prediction.png")
    for group, entry in found["errors"].items():
        for factor, error in entry.items():
            print(f"{group}, {factor} times the largest batch size of the fit: {error}")
    print(folder.resolve())
    return found


def _kept() -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
    """Workload, optimizer and rows of steps that were kept."""
    for workload in WORKLOADS:
        summary = json.loads((RESULTS / f"{workload}-sgd" / "summary.json").read_text())
        yield workload, "sgd", summary["steps_to_goal"]
    compared = json.loads((RESULTS / "compare-digits_mlp" / "summary.json").read_text())
    for summary in compared["optimizers"]:
        if summary["optimizer"] != "sgd":
            yield "digits_mlp", summary["optimizer"], summary["steps_to_goal"]


def _rows() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for workload, optimizer, steps in _kept():
        for found in lr_batch.held_out_sizes(*columns(steps)):
            yield workload, optimizer, found._asdict()


def columns(rows: list[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batch sizes that reached the goal, their steps and relative errors, of rows of a summary."""
    reached = [row for row in rows if row["steps"]]
    size, steps, low, high = (
        np.array([row[name] for row in reached], float) for name in ("batch_size", "steps", "low", "high")
    )
    return size.astype(int), steps, np.maximum(np.log(high / low) / (2 * NORMAL), LEAST_ERROR)


def errors(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Factors by which steps are off, either way: the median and what nine in ten keep to, by group and distance."""
    groups = {
        "sgd": [row for row in rows if row["optimizer"] == "sgd"],
        "other optimizers": [row for row in rows if row["optimizer"] != "sgd"],
    }
    return {
        group: {str(factor): _off([row for row in some if row["factor"] == factor]) for factor in (4, 16)}
        for group, some in groups.items()
    }


def _off(rows: list[dict[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {"predictions": len(rows)}
    for name in ("quadratic", "hyperbola"):
        size = np.abs(np.log([row[name] for row in rows]))
        found[name] = round(float(np.exp(np.median(size))), 2)
        found[f"{name}_nine_in_ten"] = round(float(np.exp(np.quantile(size, 0.9))), 2)
    return found


def draw(rows: list[dict[str, Any]], path: Path) -> Figure:
    """Predicted over measured steps against the largest batch size of the fit, with SGD."""
    figure = style.new_figure(9.4, 4.8)
    about = "SGD on five workloads, kept curves; 1 is right"
    style.headline(
        figure, "Steps at larger batch sizes, predicted from smaller ones, over those measured", about, 0.075
    )
    colours = (style.BLUE, style.VERMILION, style.GREEN, style.ORANGE, style.PURPLE)
    sgd = [row for row in rows if row["optimizer"] == "sgd"]
    for place, factor in enumerate((4, 16)):
        axes = style.add_axes(figure, left=0.075 + 0.475 * place, width=0.42, bottom=0.25, height=0.55)
        for workload, colour, marker in zip(WORKLOADS, colours, "os^Dv", strict=True):
            some = [row for row in sgd if row["workload"] == workload and row["factor"] == factor]
            x, y = ([row[name] for row in some] for name in ("fitted_until", "quadratic"))
            axes.plot(x, y, marker=marker, color=colour, linewidth=1.2, markersize=5, label=workload)
        axes.axhline(1.0, color=style.INK, linewidth=1.0)
        style.log_axis(axes.yaxis, "predicted / measured steps" if not place else "", 0.4, 2.5)
        style.batch_axis(axes, 2 ** np.arange(2, 9))
        axes.set_xlabel("largest batch size of the fit, B", fontsize=10, color=style.INK)
        axes.set_title(f"steps at {factor} B", fontsize=10, color=style.INK, loc="left")
    handles = axes.get_legend_handles_labels()[0]
    style.legend_of_panels(figure, handles, 5, height=0.06)
    return style.save(figure, path)


if __name__ == "__main__":
    main(*sys.argv[1:2])
