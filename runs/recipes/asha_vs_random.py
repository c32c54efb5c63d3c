"""Asynchronous successive halving at a quarter of the examples against full-length random search."""

from __future__ import annotations

import sys
from pathlib import Path

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from runs.plots import style  # noqa: E402
from runs.recipes.search_benchmark import interval  # noqa: E402
from runs.recipes.search_on_digits import (  # noqa: E402
    BATCH_SIZE,
    BUDGET,
    RANDOM,
    TRIALS,
    Method,
    Ratio,
    Run,
    best_at,
    of_method,
    ratio,
    run_all,
    subtitle,
)

ASHA = Method("asha", "asha", style.BLUE, trials=TRIALS // 4, options=(("min_steps", 4), ("eta", 3)))


def main(folder: str = "lr-batch-results/search", repeats: int = 20, quick: bool = False) -> dict[str, Ratio]:
    """ASHA with rungs at 4, 12, 36 and 108 steps at the cost of 16 trials, against random search with 64.

    Command: `python -m runs.recipes.asha_vs_random [FOLDER]`, about 1 minute of CPU time. The space and the
    repeats are those of `bayes_vs_random`, whose random search is shared.

    Expected (20 repeats, 95 % intervals, two CPU cores): with a quarter of the examples ASHA's loss is 1.06
    [0.99, 1.13] times that of random search as searched, and 1.01 [0.90, 1.14] times on fresh seeds: no
    difference is seen, and one of more than 14 % is excluded. At equal cost it is 0.86 [0.77, 0.96] times.

    Args:
      folder: of the tables and the figure; runs that are in it are not repeated.
      repeats: of each search, >= 2.
      quick: 2 repeats of short trials.

    Returns:
      How many times ASHA's loss is that of random search: the best as "searched", on 16 "fresh" seeds, and
      "equal cost": the best of ASHA against the best of random search when both have spent the same.
    """
    runs = run_all(Path(folder), (RANDOM, ASHA), 2 if quick else repeats, quick=quick)
    asha, random = of_method(runs, ASHA), of_method(runs, RANDOM)
    results = {
        "searched": ratio(asha, random, lambda run: run.best[-1]),
        "fresh": ratio(asha, random),
        "equal cost": ratio(asha, random, lambda run: best_at(run, np.array([ASHA.trials]))[0]),
    }
    style.save(draw(runs), Path(folder) / "asha_vs_random.png")
    for kind, value in results.items():
        print(f"{kind:10s} loss of asha over that of random search: {value}")
    return results


def draw(runs: list[Run]) -> Figure:
    """Geometric mean of the best full-length loss so far with its 95 % interval, against examples."""
    figure = style.new_figure(7.2, 4.8)
    axes = style.add_axes(figure, bottom=0.21, height=0.64)
    style.headline(figure, "Stopping early against training to the end", subtitle(runs))
    drawn = []
    for method in (ASHA, RANDOM):
        mine = of_method(runs, method)
        cost = np.linspace(1, method.trials, 200)
        best = np.array([best_at(run, cost) for run in mine])
        known = np.isfinite(best).all(axis=0)  # before that some repeat has no trial of full length
        low, high = np.exp(interval(np.log(best[:, known])))
        examples = cost[known] * BUDGET * BATCH_SIZE
        axes.fill_between(examples, low, high, color=method.color, alpha=0.18, linewidth=0)
        middle = np.exp(np.log(best[:, known]).mean(axis=0))
        axes.plot(examples, middle, color=method.color, label=method.name)
        drawn += [low, high]
    limits = np.concatenate(drawn)
    axes.xaxis.set_major_formatter(lambda value, _: style.compact(value))
    axes.set_xlabel("training examples spent", fontsize=10, color=style.INK)
    style.log_axis(axes.yaxis, "best held-out loss at full length", limits.min() / 1.05, limits.max() * 1.05)
    style.legend_below(axes)
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:2])
