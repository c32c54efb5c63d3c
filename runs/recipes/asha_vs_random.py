"""Asynchronous successive halving at a quarter of the examples against full-length random search."""

from __future__ import annotations

import sys
from pathlib import Path

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import numpy as np

from runs.plots import style
from runs.recipes.search_curves import report
from runs.recipes.search_on_digits import (
    RANDOM,
    TRIALS,
    WORKLOAD,
    Method,
    Ratio,
    best_at,
    of_method,
    ratio,
    run_all,
)

ASHA = Method("asha", "asha", style.BLUE, trials=TRIALS // 4, options=(("min_steps", 4), ("eta", 3)))


def main(
    folder: str = "lr-batch-results/search",
    workload: str = WORKLOAD,
    *,
    repeats: int = 20,
    quick: bool = False,
) -> dict[str, Ratio]:
    """ASHA with rungs at 4, 12, 36 and 108 steps at the cost of 16 trials, against random search with 64.

    Command: `python -m runs.recipes.asha_vs_random [FOLDER [WORKLOAD]]`, about 1 minute of CPU time. The
    space and the repeats are those of `bayes_vs_random`, whose random search is shared.

    Expected (digits_mlp, 20 repeats, 90 % intervals, two CPU cores): with a quarter of the examples ASHA's
    loss is 1.06 [1.00, 1.12] times that of random search as searched, and 1.01 [0.91, 1.12] times on fresh
    seeds: no difference is seen, and one of more than 12 % is excluded. At equal cost it is 0.86 [0.79, 0.95]
    times.

    Args:
      folder: of the tables and the figure; runs that are in it are not repeated.
      workload: whose optimizer is tuned.
      repeats: of each search, >= 2.
      quick: 2 repeats of short trials.

    Returns:
      How many times ASHA's loss is that of random search: the best as "searched", on 16 "fresh" seeds, and
      "equal cost": the best of ASHA against the best of random search when both have spent the same.
    """
    methods = (RANDOM, ASHA)
    runs = run_all(Path(folder), methods, 2 if quick else repeats, workload, quick=quick)
    asha, random = of_method(runs, ASHA), of_method(runs, RANDOM)
    results = {
        "searched": ratio(asha, random, lambda run: run.best[-1]),
        "fresh": ratio(asha, random),
        "equal cost": ratio(asha, random, lambda run: best_at(run, np.array([ASHA.trials]))[0]),
    }
    named = {f"{kind}, loss of asha over that of random search": value for kind, value in results.items()}
    title = "Stopping early against training to the end"
    report(Path(folder) / "asha_vs_random", title, workload, methods, runs, named)
    return results


if __name__ == "__main__":
    main(*sys.argv[1:3])
