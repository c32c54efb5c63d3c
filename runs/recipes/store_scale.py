"""What a store costs against its size: bytes of a trial, and seconds to open, resume, read, fit, report and export it.

    python -m runs.recipes.store_scale --out runs/results/store

Made-up trials of 11 batch sizes and 64 rates, with curves that cross the goal; more seeds make more trials. Each size
is written, opened and read in processes of their own, as a user's commands would be; times are of the processor, without
Python's start. Half an hour, nearly all of it for the million; expect under 200 bytes of a trial beside its curve, and
seconds for 100,000.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runs.xla_flags import set_xla_flags

set_xla_flags()

import numpy as np

from lr_batch import Trial, log_grid
from lr_batch.engine import Chunk, ChunkResult, Identity
from runs.plots.style import add_axes, headline, new_figure, save
from runs.recipes.made_up_study import BATCH_SIZES, GOAL, made_up_study
from runs.store import Store
from runs.write import write_json

RATES = log_grid(1e-3, 4.0, 64)
SIZES = (1_000, 10_000, 100_000, 1_000_000)
BUDGET = 100_000
IDENTITY = Identity(
    workload="made-up",
    data="0" * 16,
    optimizer="sgd",
    program="0" * 16,
    goal=GOAL.described,
    budget=BUDGET,
    slack="2.0",
    evaluation_growth=0.08,
    width=len(RATES),
    lanes="vmap",
    jax="none",
)


def chunks_of(seeds: int, first_seed: int = 0):
    """Chunks with their rows, seed by seed."""
    for seed in range(first_seed, first_seed + seeds):
        best = 0.6 / (1 + 32 / np.asarray(BATCH_SIZES))
        result = made_up_study(best, seed, rates=RATES, seeds=1, budget=BUDGET)
        trials = list(result.trials)
        for i, batch_size in enumerate(BATCH_SIZES):
            lanes = trials[i * len(RATES) : (i + 1) * len(RATES)]
            chunk = Chunk(IDENTITY, batch_size, seed, tuple(trial.hparams for trial in lanes))
            yield chunk, _rows(lanes)


def _rows(trials: Sequence[Trial]) -> ChunkResult:
    longest = max((trial.curve.steps for trial in trials), key=len)
    values = np.full((len(longest), len(trials)), np.nan, np.float32)
    for lane, trial in enumerate(trials):
        values[: len(trial.curve.values), lane] = trial.curve.values
    steps_to_goal = [np.nan if trial.steps_to_goal is None else trial.steps_to_goal for trial in trials]
    return ChunkResult(
        steps_to_goal=np.array(steps_to_goal),
        steps=np.array([trial.steps for trial in trials]),
        status=tuple(trial.status for trial in trials),
        eval_steps=longest,
        values=values,
        width=len(trials),
        device="cpu",
        precision="float32",
        seconds=1.0,
    )


def fill(folder: Path, seeds: int, first_seed: int = 0) -> None:
    """Adds trials to the store in `folder`."""
    with Store(folder, full_sync=False) as store:
        store.describe(_description(), kind="curve")
        for chunk, rows in chunks_of(seeds, first_seed):
            store.save(chunk, rows)


def _description() -> dict[str, Any]:
    grid = {"space": {"learning_rate": list(RATES)}, "batch_sizes": list(BATCH_SIZES), "seeds": 1}
    return {**IDENTITY.described(), **grid, "extend": False}


def open_store(folder: Path, seeds: int) -> None:
    Store(folder).close()


def resume(folder: Path, seeds: int) -> None:
    """Asks for every chunk, as a run does that finds all of them finished."""
    with Store(folder) as store:
        for seed in range(seeds):
            for batch_size in BATCH_SIZES:
                settings = tuple({"learning_rate": rate} for rate in RATES)
                assert isinstance(store.load(Chunk(IDENTITY, batch_size, seed, settings)), ChunkResult)


def read(folder: Path, seeds: int) -> None:
    from runs.curve.run import stored_result

    stored_result(folder)


def fit(folder: Path, seeds: int) -> None:
    from runs.curve.analysis import analyse
    from runs.curve.run import stored_result

    analyse(stored_result(folder))


def report(folder: Path, seeds: int) -> None:
    from runs.commands.folders import report_curve

    report_curve(folder)


def export(folder: Path, seeds: int) -> None:
    from runs.export import export

    export(folder, folder / "trials.csv", "csv")


def verify(folder: Path, seeds: int) -> None:
    from runs.verify import verify

    assert verify(folder) == []


JOBS: dict[str, Callable[[Path, int], None]] = {
    job.__name__: job for job in (fill, open_store, resume, read, fit, report, export, verify)
}


def timed(job: str, folder: Path, seeds: int) -> float:
    """Seconds of processor time of a job in a process of its own, without the start of Python."""
    call = [sys.executable, "-m", __spec__.name, "--job", job, "--out", str(folder), "--seeds", str(seeds)]
    done = subprocess.run(call, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{job}: {done.stderr[-2000:]}")
    return float(done.stdout.splitlines()[-1])


def measured(size: int) -> dict[str, float]:
    """Bytes and seconds of a store of about `size` trials."""
    seeds = max(2, round(size / (len(RATES) * len(BATCH_SIZES))))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "study")
        seconds = {job: timed(job, folder, seeds) for job in JOBS}
        total = (folder / "store.sqlite").stat().st_size
        with Store(folder, read_only=True) as store:
            curves = store.curve_bytes()
    trials = seeds * len(RATES) * len(BATCH_SIZES)
    return {
        "trials": trials,
        "bytes_per_trial": (total - curves) / trials,
        "curve_bytes_per_trial": curves / trials,
        **{f"seconds_{job}": value for job, value in seconds.items()},
    }


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Seconds of each job against the number of trials."""
    figure = new_figure()
    axes = add_axes(figure)
    for job in JOBS:
        seconds = [row[f"seconds_{job}"] for row in rows]
        axes.loglog([row["trials"] for row in rows], seconds, "o-", label=job.replace("_", " "))
    axes.set(xlabel="trials in the store", ylabel="seconds of one core")
    axes.legend(fontsize="small", frameon=False)
    beside = max(row["bytes_per_trial"] for row in rows)
    headline(
        figure, "What a store costs against its size", f"at most {beside:.0f} bytes a trial beside its curve"
    )
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="trials of each store")
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=int, default=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        began = time.process_time()
        JOBS[given.job](given.out, given.seeds)
        print(time.process_time() - began)
        return
    given.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for size in sorted(given.sizes):
        rows.append(measured(size))
        print(json.dumps(rows[-1]))
        write_json(given.out / "summary.json", {"rows": rows})
        draw(rows, given.out / "seconds.png")


if __name__ == "__main__":
    main()
