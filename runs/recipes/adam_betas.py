"""Adam's b2, or b1, against the batch size: which value each batch size wants, and Malladi's rule on and off."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import numpy as np
from matplotlib.figure import Figure

import lr_batch
from runs.curve.run import run_in_folder
from runs.plots import style
from runs.write import write_json

# 1 - b grows by 4 from one to the next, as the batch sizes do: Malladi's rule, 1 - b -> k (1 - b), is a diagonal.
BETAS = {"b2": (0.9996, 0.9984, 0.9936, 0.9744, 0.8976), "b1": (0.99, 0.96, 0.84, 0.36)}
BATCH_SIZES = {"pydoc_lm": (4, 16, 64, 256), "fashion_mnist_fc": (16, 64, 256, 1024)}
COLOURS = (style.BLUE, style.SKY, style.GREEN, style.ORANGE, style.VERMILION)


def main(
    out: str = "adam_betas", workload: str = "pydoc_lm", beta: str = "b2", *, quick: bool = False
) -> list[dict[str, Any]]:
    """Steps to the goal at every batch size and every b, each at its own best rate, in 4 seeds.

    The best b of a batch size is told with all those that are not clearly worse (seeds paired, Holm's correction), as a
    half-life in examples, B ln 2 / -ln b, which published runs find about constant. Malladi et al. (2022): where the
    batch grows by k, 1 - b grows by k and the rate by its root; the rates being tuned here, the rule is its b alone. Its
    steps are put over those of the smallest batch size's best b kept at every batch size.
    Command: `python -m runs.recipes.adam_betas OUT WORKLOAD b2`, also with b1, WORKLOAD pydoc_lm or fashion_mnist_fc; the
    same command goes on where it was. Hours on 2 CPU cores. It has not been run: nothing is claimed of its answer.

    Args:
      out: folder of the curves, adam_betas.json and adam_betas.png.
      workload: a name of `lr-batch list workloads`.
      beta: b2 or b1.
      quick: three values of b at three batch sizes, 2 seeds.
    """
    if beta not in BETAS:
        raise ValueError(f"adam_betas: must be one of {', '.join(BETAS)}, got {beta!r}")
    sizes = BATCH_SIZES.get(workload, (4, 16, 64, 256))[: 3 if quick else None]
    folder, seeds = Path(out), 2 if quick else 4
    values = BETAS[beta][: 3 if quick else None]
    optima = {value: optima_of(workload, beta, value, sizes, seeds, folder) for value in values}
    rows = [row_of(optima, size) for size in sizes]
    for row, over in zip(rows, rule_over_fixed(optima, sizes), strict=True):
        row["rule_over_fixed"] = over
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "adam_betas.json", rows)
    for row in rows:
        print(_line(row, beta))
    draw(optima, workload, beta, folder / "adam_betas.png")
    print(folder.resolve())
    return rows


def optima_of(
    workload: str, beta: str, value: float, sizes: Sequence[int], seeds: int, folder: Path
) -> tuple[lr_batch.Optimum, ...]:
    """Best settings of Adam with one value of b."""
    rates = lr_batch.log_grid(1e-4, 1e-1, 13)
    study = lr_batch.Study(
        workload, "adam", batch_sizes=sizes, seeds=seeds, space={"learning_rate": rates, beta: (value,)}
    )
    _, result = run_in_folder(study, folder / f"{workload}-{beta}-{value:g}")
    return lr_batch.best_settings(result)


def row_of(optima: Mapping[float, Sequence[lr_batch.Optimum]], size: int) -> dict[str, Any]:
    """The best b of a batch size, and all that are not clearly worse."""
    at = {f"{value:g}": _at(found, size) for value, found in optima.items()}
    ranked = lr_batch.ranking(at, {name: {size: 1.0} for name in at})
    best = [row for row in ranked if row.batch_size is not None]
    alike = sorted(float(row.name) for row in best if row is best[0] or not row.clear)
    return {
        "batch_size": size,
        "steps": {row.name: row.cost._asdict() for row in ranked},
        "best": float(best[0].name) if best else None,
        "not_clearly_worse": alike,
        "half_lives": [half_life(value, size) for value in alike],
    }


def half_life(beta: float, size: int) -> float:
    """Examples after which a gradient's weight in the average is halved.

    >>> round(half_life(0.5, 64), 6)
    64.0
    """
    return float(size * np.log(0.5) / np.log(beta))


def rule_over_fixed(
    optima: Mapping[float, Sequence[lr_batch.Optimum]], sizes: Sequence[int]
) -> list[lr_batch.Ratio | None]:
    """Steps with Malladi's b over those with the smallest batch size's best b; None where either has none."""
    values = list(optima)
    first = row_of(optima, sizes[0])["best"]
    if first is None:
        return [None] * len(sizes)
    return [
        None if moved is None else _ratio(_at(optima[moved], size), _at(optima[first], size), size)
        for size, moved in ((size, _moved(values, first, size / sizes[0])) for size in sizes)
    ]


def _ratio(rule: list[lr_batch.Optimum], fixed: list[lr_batch.Optimum], size: int) -> lr_batch.Ratio | None:
    """Steps with the rule over those without it, seeds paired."""
    pair = {"rule": rule, "fixed": fixed}
    _, worse = lr_batch.ranking(pair, {name: {size: 1.0} for name in pair})
    if worse.ratio is None or worse.name == "rule":
        return worse.ratio
    best, low, high, p_value = worse.ratio
    return lr_batch.Ratio(1 / best, 1 / high, 1 / low, p_value)


def _moved(values: Sequence[float], first: float, growth: float) -> float | None:
    """The value whose 1 - b is `growth` times that of `first`, where it was tried."""
    return next((v for v in values if np.isclose(1 - v, growth * (1 - first), rtol=0.01)), None)


def _at(found: Sequence[lr_batch.Optimum], size: int) -> list[lr_batch.Optimum]:
    return [row for row in found if row.batch_size == size]


def _line(row: Mapping[str, Any], beta: str) -> str:
    if row["best"] is None:
        return f"batch {row['batch_size']}: the goal was not reached with any {beta}"
    lives = sorted(row["half_lives"])
    alike = ", ".join(f"{value:g}" for value in row["not_clearly_worse"])
    over = row["rule_over_fixed"]
    rule = ""
    if over:
        rule = f"; Malladi's {beta} takes {over.best:.2f} ({over.low:.2f} to {over.high:.2f}) of the steps of a fixed one"
    return (
        f"batch {row['batch_size']}: best {beta} {row['best']:g}, not clearly worse {alike}: half-lives of "
        f"{lives[0]:,.0f} to {lives[-1]:,.0f} examples{rule}"
    )


def draw(optima: Mapping[float, Sequence[lr_batch.Optimum]], workload: str, beta: str, path: Path) -> Figure:
    """Steps to the goal against the half-life in examples, a line for each batch size."""
    figure = style.new_figure(7.2, 5.0)
    about = f"{style.plain(workload, 30)} · Adam at its best rates · 90% intervals"
    style.headline(figure, f"Steps against the half-life of {beta} in examples", about)
    axes = style.add_axes(figure, bottom=0.22, height=0.6)
    rows = [
        (half_life(value, o.batch_size), o) for value, found in optima.items() for o in found if o.estimate
    ]
    if not rows:
        style.note(axes, "the goal was not reached at any batch size")
        return style.save(figure, path)
    lives, ends = [life for life, _ in rows], [end for _, o in rows for end in o.estimate or ()]
    style.log_axis(axes.xaxis, "half-life (examples)", min(lives) / 1.5, max(lives) * 1.5)
    low, high = style.positive_span(ends)
    style.log_axis(axes.yaxis, "optimizer steps to the goal", low / 1.4, high * 1.4)
    for number, size in enumerate(sorted({o.batch_size for _, o in rows})):
        some = sorted((life, *(o.estimate or ())) for life, o in rows if o.batch_size == size)
        x, best, below, above = np.array(some).T
        axes.errorbar(
            x,
            best,
            yerr=style.bars(best, below, above),
            color=COLOURS[number % len(COLOURS)],
            marker="os^Dv"[number % 5],
            label=f"batch {size}",
            linewidth=1.3,
        )
    style.legend_below(axes)
    return style.save(figure, path)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--quick"]
    main(*words[:3], quick="--quick" in sys.argv)
