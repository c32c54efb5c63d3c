"""Does the law of the best learning rate come back? Studies whose law is known, through the whole analysis.

    python -m runs.recipes.law_recovery --out runs/results/laws

200 studies of each of ten laws, made up without training (`runs.recipes.made_up_study`): curves that cross the goal,
raced, on the default grid of 16 rates and 11 batch sizes with 4 seeds, numbers of the law drawn anew each time. Ten
minutes of one core. Expect the true law among those that are not told apart in at least 95 % of studies of each
law, and a single law in at least 60 % of all.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import lr_batch
from runs.recipes.made_up_study import BATCH_SIZES, SHAPES, made_up_study
from runs.write import write_atomically

B = np.array(BATCH_SIZES, float)
KNEES = 16.0, 96.0


class Recovery(NamedTuple):
    """What one study said: its true law, the laws that it cannot tell apart, the winner, and whether 90 % intervals
    of the winner's rate at each batch size hold the true one."""

    law: str
    key: int
    laws: tuple[str, ...]
    best: str
    covered: tuple[bool, ...]


# Best rates of a study, from uniform draws `u(low, high)` and a knee; all lie inside the default grid.
TRUE_LAWS: dict[str, Callable[[Callable[[float, float], float], float], np.ndarray]] = {
    "constant": lambda u, knee: np.full(len(B), u(0.05, 0.5)),
    "linear": lambda u, knee: u(2.2e-3, 2.6e-3) * B,
    "square root": lambda u, knee: u(0.015, 0.04) * B**0.5,
    "power": lambda u, knee: u(0.02, 0.04) * B ** u(0.25, 0.33),
    "linear until a knee": lambda u, knee: u(0.4, 1.5) * np.minimum(B / knee, 1.0),
    "square root until a knee": lambda u, knee: u(0.4, 1.5) * np.minimum(B / knee, 1.0) ** 0.5,
    "power until a knee": lambda u, knee: u(0.4, 1.5) * np.minimum(B / knee, 1.0) ** u(0.7, 0.78),
    "saturating": lambda u, knee: u(0.6, 1.5) / (1.0 + knee / B),
    "saturating power": lambda u, knee: u(0.4, 1.2) / (1.0 + knee / B) ** u(0.45, 0.55),
    "surge": lambda u, knee: u(0.4, 1.2) / (0.5 * np.sqrt(knee / B) + 0.5 * np.sqrt(B / knee)),
}


FIRST_KEY = 1_000  # studies with smaller keys were used to choose the constants of the analysis


def recover(law: str, key: int) -> Recovery:
    """One study of a law; the shape of steps against the rate takes turns."""
    rng = np.random.default_rng([key, list(TRUE_LAWS).index(law)])
    knee = float(np.exp(rng.uniform(*np.log(KNEES))))
    rates = TRUE_LAWS[law](rng.uniform, knee)
    result = made_up_study(rates, int(rng.integers(2**31)), shape=SHAPES[key % len(SHAPES)])
    found = lr_batch.learning_rate_law(result)
    _, low, high = found.rates(B)
    covered = (low <= rates) & (rates <= high)
    return Recovery(law, key, tuple(fit.name for fit in found.laws), found.best, tuple(covered.tolist()))


def table(recoveries: Sequence[Recovery]) -> list[dict[str, Any]]:
    """One row for each law: share of studies whose set holds it, that name one law, whose winner it is, and what
    else was in the sets."""
    rows = []
    for law, group in itertools.groupby(sorted(recoveries), key=lambda found: found.law):
        mine = list(group)
        others = Counter(name for found in mine for name in found.laws if name != law)
        rows.append(
            {
                "law": law,
                "studies": len(mine),
                "held": np.mean([law in found.laws for found in mine]),
                "single": np.mean([len(found.laws) == 1 for found in mine]),
                "won": np.mean([found.best == law for found in mine]),
                "rates_covered": np.mean([found.covered for found in mine]),
                "others": {name: count / len(mine) for name, count in others.most_common()},
            }
        )
    return rows


def main(
    out: str | None = None, draws: int = 200, processes: int = 2, quick: bool = False
) -> list[dict[str, Any]]:
    """Recovers, prints the table, and keeps it with every study in the folder `out`."""
    first = 0 if quick else FIRST_KEY
    tasks = [(law, key) for key in range(first, first + (4 if quick else draws)) for law in TRUE_LAWS]
    if processes > 1 and not quick:
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            found = list(pool.map(recover, *zip(*tasks, strict=True), chunksize=4))
    else:
        found = [recover(*task) for task in tasks]
    rows = table(found)
    for row in rows:
        print(
            f"{row['law']:26s} held {row['held']:6.1%}  single {row['single']:6.1%}  won {row['won']:6.1%}  "
            f"rates covered {row['rates_covered']:6.1%}"
        )
    print(f"one law is told in {np.mean([row['single'] for row in rows]):.1%} of {len(found)} studies")
    if out:
        Path(out).mkdir(parents=True, exist_ok=True)
        kept = {"table": rows, "studies": [study._asdict() for study in found]}
        write_atomically(Path(out) / "law_recovery.json", json.dumps(kept).encode())
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    main(**vars(parser.parse_args()))
