"""How often intervals hold the truth, on real trials.

    python -m runs.recipes.coverage collect --seeds 40 --time-limit 3600   # resumable, one file for each batch size
    python -m runs.recipes.coverage analyse --groups 4,8

Every workload is trained at rates three times as fine as the default grid, within a factor of four of the best rate
of two seeds at each batch size, with more slack. All seeds and rates
together are the truth (`runs.recipes.trial_table.dense_truth`). Every third rate and 4 or 8 of the seeds, raced as by
default, is a study as users run it. Of each number: how many of its intervals hold the truth; `spread`, the standard
deviation of its logarithm over groups; `claimed`, what the intervals say of it; and the error common to all groups.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import numpy as np

import lr_batch
import optim
from lr_batch import CriticalBatchSize, Estimate, Result, Study
from runs.recipes import trial_table
from runs.recipes.trial_table import Dense, TrialTable
from runs.write import write_atomically

PAIRS = (
    "digits_mlp-sgd digits_mlp-adam digits_mlp-muon digits_cnn-sgd pydoc_lm-adam noisy_quadratic-sgd".split()
)
FOLDER = Path("runs/results/coverage")
FINER = 3  # rates for each one of the default grid
AROUND = 4.0  # rates further than this factor from the best one need more than twice its steps, or diverge
PILOT_SEEDS = 2
SLACK = 3.0  # of the collected trials; a study uses 2
STUDENT_90 = {4: 2.353, 8: 1.895}  # t of a 90 % interval with n - 1 degrees of freedom


def rates(optimizer: str) -> tuple[float, ...]:
    """The default grid of learning rates, `FINER` times as fine."""
    grid = np.log(optim.OPTIMIZERS[optimizer].space["learning_rate"])
    fine = np.interp(np.arange(FINER * (len(grid) - 1) + 1) / FINER, np.arange(len(grid)), grid)
    return tuple(float(f"{rate:.6g}") for rate in np.exp(fine))


def near_best(study: Study, grid: Sequence[float]) -> tuple[float, ...]:
    """The rates of `grid` within a factor of `AROUND` of the best one of `study`, a coarse one; all if none reached."""
    (best,) = lr_batch.best_settings(lr_batch.run(study))
    if best.learning_rate is None:
        return tuple(grid)
    low, high = best.learning_rate.best / AROUND, best.learning_rate.best * AROUND
    return tuple(rate for rate in grid if low <= rate <= high)


def collect(
    pairs: Sequence[str],
    seeds: int,
    folder: Path,
    time_limit: float = np.inf,
    batch_sizes: Sequence[int] | None = None,
) -> None:
    """Trains what is missing, the large batch sizes first; begins nothing after `time_limit` seconds."""
    began = time.monotonic()
    for pair in pairs:
        workload, optimizer = pair.rsplit("-", 1)
        sizes = Study(workload, optimizer).batch_sizes if batch_sizes is None else batch_sizes
        for size in sorted(sizes, reverse=True):
            path = folder / pair / f"batch-{size}-seeds-{seeds}.npz"
            if path.exists() or time.monotonic() - began > time_limit:
                continue
            trial_table.save(train(pair, size, seeds), path)
            print(f"{pair}: batch size {size}, {time.monotonic() - began:.0f} s", flush=True)


def train(pair: str, size: int, seeds: int) -> TrialTable:
    """All seeds at one batch size, at the fine rates around the best one."""
    workload, optimizer = pair.rsplit("-", 1)
    grid = rates(optimizer)
    pilot = Study(
        workload, optimizer, (size,), {"learning_rate": grid[::FINER]}, seeds=PILOT_SEEDS, extend=False
    )
    fine = {"learning_rate": near_best(pilot, grid)}
    study = Study(workload, optimizer, (size,), fine, seeds=seeds, slack=SLACK, extend=False)
    return trial_table.from_result(pair, lr_batch.run(study), grid)


def collected(pair: str, folder: Path) -> TrialTable:
    """All batch sizes of a pair that are there, with the most seeds that any of them has."""
    files = sorted((folder / pair).glob("batch-*.npz"))
    if not files:
        raise ValueError(f"coverage: nothing collected for {pair} in {folder}: run collect first")
    tables = [trial_table.load(path) for path in files]
    most = max(len(table.seeds) for table in tables)
    return trial_table.join([table for table in tables if len(table.seeds) == most])


def numbers(critical: CriticalBatchSize) -> dict[str, Estimate]:
    """All that is printed with an interval, by name."""
    triple = lambda name: Estimate(
        *(getattr(critical, part) for part in (name, f"{name}_low", f"{name}_high"))
    )
    found = {
        "critical batch size": Estimate(critical.value, critical.low, critical.high),
        "fewest steps": triple("s_min"),
        "fewest examples": triple("e_min"),
        "sharpness": triple("sharpness"),
        "perfect scaling until": critical.regimes.perfect_scaling_until,
        "maximal data parallelism from": critical.regimes.flat_from,
        "linear scaling until": critical.measured.linear_until,
    }
    for row in critical.optima:
        if (steps := row.estimate) is not None:
            found[f"steps at {row.batch_size}"] = steps
        if row.learning_rate is not None:
            found[f"rate at {row.batch_size}"] = row.learning_rate
    return found


def truth(table: TrialTable, dense: Dense) -> dict[str, float]:
    """The same numbers from the dense truth: its steps as if every seed had needed just these."""
    exact = np.repeat(np.exp(dense.log_steps)[:, None, None], 2, axis=1)
    one = table._replace(
        seeds=np.arange(2),
        rates=np.ones(1),
        steps_to_goal=exact,
        trained=np.where(np.isnan(exact), table.trained.max((1, 2), keepdims=True), exact),
        diverged=np.zeros(exact.shape, bool),
    )
    exact_numbers = numbers(lr_batch.critical_batch_size(trial_table.cut(one, [0, 1])))
    known = {name: estimate.best for name, estimate in exact_numbers.items()}
    best = zip(table.batch_sizes.tolist(), np.exp(dense.log_rate).tolist(), strict=True)
    return known | {f"rate at {size}": rate for size, rate in best}


def groups(num_seeds: int, size: int, partitions: int) -> Iterator[np.ndarray]:
    """Independent groups, of the seeds in order first and then of `partitions` - 1 random orders."""
    rng = np.random.default_rng(0)
    for i in range(partitions):
        order = np.arange(num_seeds) if i == 0 else rng.permutation(num_seeds)
        for start in range(0, num_seeds - size + 1, size):
            yield np.sort(order[start : start + size])


def studies(table: TrialTable, size: int, partitions: int) -> Iterator[Result]:
    coarse = slice(0, None, FINER)
    return (trial_table.cut(table, group, coarse) for group in groups(len(table.seeds), size, partitions))


def covered(table: TrialTable, size: int, partitions: int) -> dict[str, dict[str, float]]:
    """For each number: share of intervals that hold the truth, spread, claimed spread and common error."""
    true = truth(table, trial_table.dense_truth(table))
    found: dict[str, list[Estimate]] = {}
    for result in studies(table, size, partitions):
        for name, estimate in numbers(lr_batch.critical_batch_size(result)).items():
            if np.isfinite(true.get(name, np.nan)):
                found.setdefault(name, []).append(estimate)
    return {name: _row(np.array(rows), true[name], size) for name, rows in found.items()}


def _row(estimates: np.ndarray, true: float, size: int) -> dict[str, float]:
    logs = np.log(estimates)
    inside = (logs[:, 1] <= np.log(true)) & (np.log(true) <= logs[:, 2])
    half = (logs[:, 2] - logs[:, 1]) / 2.0
    return {
        "truth": true,
        "covered": float(inside.mean()),
        "studies": len(logs),
        "spread": float(logs[:, 0].std(ddof=1)),
        "claimed": float(np.sqrt((half**2).mean()) / STUDENT_90.get(size, 2.0)),
        "common": float(logs[:, 0].mean() - np.log(true)),
    }


def false_alarms(table: TrialTable, size: int) -> dict[str, float]:
    """Shares of studies whose curve test says that it does not fit, and of pairs of studies called different."""
    fits = [lr_batch.critical_batch_size(result) for result in studies(table, size, 1)]
    pairs = [lr_batch.ratio(a, b) for i, a in enumerate(fits) for b in fits[i + 1 :]]
    different = [
        lr_batch.holm(np.array([ratio.p_value for ratio in pair.values()]), fits[0].level).any()
        for pair in pairs
    ]
    return {
        "does not fit": float(np.mean([not fit.test.fits for fit in fits])),
        "equal studies called different": float(np.mean(different)) if different else 0.0,
    }


def analyse(pairs: Sequence[str], sizes: Sequence[int], folder: Path, partitions: int = 2) -> dict[str, Any]:
    """The table of all pairs that are collected, printed and written to `coverage.json`."""
    outcome = {}
    for pair in pairs:
        if not list((folder / pair).glob("batch-*.npz")):
            print(f"{pair}: nothing collected")
            continue
        table = collected(pair, folder)
        for size in sizes:
            rows, alarms = covered(table, size, partitions), false_alarms(table, size)
            outcome[f"{pair}, {size} seeds"] = {"numbers": rows, "alarms": alarms}
            _print(pair, size, rows, alarms)
    write_atomically(folder / "coverage.json", json.dumps(outcome, indent=1).encode())
    return outcome


def _print(pair: str, size: int, rows: dict[str, Any], alarms: dict[str, float]) -> None:
    print(f"\n{pair}, studies of {size} seeds; {', '.join(f'{k}: {v:.0%}' for k, v in alarms.items())}")
    print(f"{'':31s} {'truth':>9s} covered spread claimed common")
    for name, row in rows.items():
        numbers_of = f"{row['spread']:6.3f} {row['claimed']:7.3f} {row['common']:+6.3f}"
        print(f"{name:31s} {row['truth']:9.4g} {row['covered']:7.0%} {numbers_of}")


def main(arguments: Sequence[str] | None = None, *, quick: bool = False) -> dict[str, Any] | None:
    """`quick` takes seconds in place of minutes: four batch sizes, four seeds, groups of two."""
    parser = argparse.ArgumentParser(prog="python -m runs.recipes.coverage")
    parser.add_argument("step", choices=("collect", "analyse", "all"), nargs="?", default="all")
    parser.add_argument("--pairs", default=",".join(PAIRS))
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument(
        "--batch-sizes", help="of every pair, as 1,4,16; those of a default study if not given"
    )
    parser.add_argument("--groups", default="4,8")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--time-limit", type=float, default=np.inf, help="seconds")
    options = parser.parse_args(arguments)
    pairs = options.pairs.split(",")
    if options.step != "analyse":
        asked = options.batch_sizes and tuple(map(int, options.batch_sizes.split(",")))
        seeds, sizes = (4, (64, 128, 256, 512)) if quick else (options.seeds, asked or None)
        collect(pairs, seeds, options.folder, options.time_limit, sizes)
    if options.step == "collect":
        return None
    sizes = (2,) if quick else tuple(map(int, options.groups.split(",")))
    return analyse(pairs, sizes, options.folder, partitions=1 if quick else 2)


if __name__ == "__main__":
    main()
