"""`bench.json`: what was measured, what follows from it, and where."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from runs.bench.compare import Effort, Runs, Turn, agreement
from runs.bench.loads import Evaluations, Load, columns, oracle_loads, raced_loads, unraced_loads
from runs.bench.projection import estimate
from runs.bench.work import Work

# Trials behind the published study (Shallue et al., 2019).
PUBLISHED_TRIALS = 168_160
PROTOCOLS = ("oracle", "raced", "unraced")  # of the loops, see `runs.bench.loads`
PACKAGES = ("jax", "jaxlib", "optax", "flax", "numpy", "torch")


def summary(work: Work, effort: Effort, runs: Runs) -> dict[str, Any]:
    """Everything as JSON; seconds unless a name says otherwise."""
    trials = columns(runs.engine[0]["cold"]["trials"])
    study = work.study()
    evaluations = Evaluations.of(study)
    loads = {"oracle": oracle_loads(trials, evaluations)}
    if runs.unraced:
        sample, rng = columns(runs.unraced["trials"]), np.random.default_rng(0)
        loads["raced"] = raced_loads(trials, sample, evaluations, study.slack, rng)
        loads["unraced"] = unraced_loads(trials, sample, evaluations)
    engine = engine_summary(runs.engine, len(trials["steps"]))
    peers = {peer: peer_summary(peer, turns, loads, runs.engine) for peer, turns in runs.turns.items()}
    parts = [row for row in runs.breakdown if "batch_size" in row]
    counts = chunk_counts(trials, evaluations, runs.breakdown[0]["width"])
    lanes = runs.breakdown[0]["width"] * runs.breakdown[0]["workers"]
    return {
        "work": dataclasses.asdict(work.filled()),
        "effort": effort._asdict(),
        "machine": machine() | {name: runs.breakdown[0][name] for name in ("device", "platform")},
        "trials": len(trials["steps"]),
        "engine": engine | {name: runs.breakdown[0][name] for name in ("width", "workers", "execution")},
        "peers": peers,
        "absent": dict(runs.absent),
        "agreement": agreement(runs),
        "split": split(runs, parts, counts),
        "products_seconds": products_seconds(parts, counts, runs.breakdown[0]["workers"]),
        "batch_sizes": [
            by_size(row, counts[row["batch_size"]], lanes, chunk_seconds(runs, row["batch_size"]))
            for row in parts
        ],
        "memory": next(row["memory"] for row in runs.breakdown if "memory" in row),
        "published_trials": published(engine, peers, len(trials["steps"])),
    }


def engine_summary(rounds: Sequence[Mapping[str, Any]], trials: int) -> dict[str, Any]:
    """Medians over the rounds; `cold` is from the start of the process to the stored result."""
    cold, accounts = [r["cold"]["seconds"] for r in rounds], [r["cold"]["engine"] for r in rounds]
    warm = [seconds for r in rounds for seconds in r["warm"]]
    return {
        "cold": middle(cold),
        "second_start": middle([r["again"]["seconds"] for r in rounds]),
        "warm": middle(warm),
        "ready": middle([r["cold"]["ready"] for r in rounds]),
        "run": middle([account["seconds"] for account in accounts]),
        "compile_core_seconds": middle([account["compile_seconds"] for account in accounts]),
        "second_compile_core_seconds": middle([r["again"]["compile_seconds"] for r in rounds]),
        "store": middle([r["cold"]["store_seconds"] for r in rounds]),
        "programs": accounts[0]["programs_compiled"],
        "peak_process_bytes": max(r["peak_bytes"] for r in rounds),
        "warm_per_trial": float(np.median(warm)) / trials,
    }


def middle(values: Sequence[float]) -> dict[str, float]:
    """Median and range of the rounds."""
    return {
        "median": float(np.median(values)),
        "low": float(min(values)),
        "high": float(max(values)),
        "n": len(values),
    }


def peer_summary(
    peer: str,
    turns: Sequence[Turn],
    loads: Mapping[str, Mapping[int, Load]],
    engine: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Seconds of the whole study as projected, with interval, and how much longer than the engine, round by
    round."""
    workers = (os.cpu_count() or 1) if peer == "pool" else 1
    fixed = float(np.median([turn.compile_seconds + turn.ready_seconds for turn in turns]))
    pooled = [timing for turn in turns for timing in turn.timings]
    report: dict[str, Any] = {"sampled_trials": len(pooled), "processes": workers, "start_and_compile": fixed}
    for protocol, load in loads.items():
        guess = estimate(pooled, load, np.random.default_rng(0))
        totals = [
            turn.compile_seconds
            + turn.ready_seconds
            + estimate(turn.timings, load, np.random.default_rng(0)).seconds / workers
            for turn in turns
        ]
        against = lambda of, totals=totals: middle([t / of(e) for t, e in zip(totals, engine, strict=True)])
        report[protocol] = {
            "seconds": fixed + guess.seconds / workers,
            "low": fixed + guess.low / workers,
            "high": fixed + guess.high / workers,
            "by_size": guess.by_size,
            "times_engine_cold": against(lambda e: e["cold"]["seconds"]),
            "times_engine_warm": against(lambda e: float(np.median(e["warm"]))),
        }
    return report


def chunk_counts(
    trials: Mapping[str, np.ndarray], evaluations: Evaluations, width: int
) -> dict[int, dict[str, float]]:
    """Steps, evaluations and calls of the program of all chunks of a batch size; a chunk lasts as long as
    its last lane. Evaluations of all held-out rows count as `whole`, those of parts together as so many in `parts`."""
    counts: dict[int, dict[str, float]] = {}
    for size in map(int, np.unique(trials["batch_size"])):
        mine, (cadence, rows) = trials["batch_size"] == size, evaluations.cadences[size]
        longest = np.array(
            [trials["steps"][mine & (trials["seed"] == seed)].max() for seed in np.unique(trials["seed"])]
        )
        number = np.searchsorted(cadence, longest, side="right")
        chunks = math.ceil((mine & (trials["seed"] == trials["seed"][0])).sum() / width)
        calls = sum(2 + int(np.log2(1 + steps / 4)) for steps in longest)  # slices double: `next_stop`
        counts[size] = {
            "steps": chunks * int(longest.sum()),
            "evaluations": chunks * int(number.sum()),
            "whole": chunks * int(sum((rows[:n] == 0).sum() for n in number)),
            "parts": chunks * float(sum(rows[:n].sum() for n in number)) / evaluations.num_rows,
            "calls": chunks * calls,
        }
    return counts


def chunk_seconds(runs: Runs, batch_size: int) -> float:
    """Seconds of all chunks of a batch size in the cold run, the median over rounds."""
    return float(np.median([r["cold"]["chunk_seconds"][str(batch_size)] for r in runs.engine]))


def split(
    runs: Runs, parts: Sequence[Mapping[str, Any]], counts: Mapping[int, Mapping[str, float]]
) -> dict[str, float]:
    """Core-seconds of a cold run: the parts as timed alone times how often they are done; `rest` is what is
    left.

    `step_rest` is what the engine's own step takes beyond the sum of its parts; negative where the compiler
    merges them.
    """
    total = lambda part, count: sum(row[part] * counts[row["batch_size"]][count] for row in parts)
    cores = runs.breakdown[0]["workers"]
    gather, both, update = (total(name, "steps") for name in ("gather", "gather_and_gradient", "update"))
    named = {
        "compile": float(np.median([r["cold"]["engine"]["compile_seconds"] for r in runs.engine])),
        "gather": gather,
        "gradient": both - gather,
        "update": update,
        "step_rest": total("step", "steps") - both - update,
        "evaluation": total("evaluation", "whole") + total("evaluation_in_parts", "parts"),
        "dispatch": total("dispatch", "calls"),
        "store": float(np.median([r["cold"]["store_seconds"] for r in runs.engine])),
    }
    whole = cores * float(np.median([r["cold"]["engine"]["seconds"] for r in runs.engine]))
    return named | {"rest": whole - sum(named.values()), "core_seconds": whole}


def bound_of(row: Mapping[str, Any]) -> float:
    """Seconds of the products of a chunk's step, the fastest of the ways to do them."""
    return min(row["batched_products"], row["micro_batch_products"], row["separate_products"])


def products_seconds(
    parts: Sequence[Mapping[str, Any]], counts: Mapping[int, Mapping[str, float]], workers: int
) -> float:
    """What the study would take if the products of the gradient were all there is to do."""
    return sum(bound_of(row) * counts[row["batch_size"]]["steps"] for row in parts) / workers


def by_size(row: Mapping[str, Any], count: Mapping[str, float], lanes: int, seconds: float) -> dict[str, Any]:
    """A batch size's parts, the engine's share of the bound, and how many times as many steps its `lanes` do on the
    whole machine as one trial does that has it to itself.

    Of the `seconds` of its chunks `training` and `evaluating` are parts as timed alone, `waiting` is the rest.
    """
    bound = bound_of(row)
    training = row["step"] * count["steps"]
    evaluating = row["evaluation"] * count["whole"] + row["evaluation_in_parts"] * count["parts"]
    return {
        **row,
        **count,
        "bound": bound,
        "bound_gflops_per_core": row["flops"] / bound / 1e9,
        "share_of_bound": bound / row["step"],
        "share_with_evaluation": bound * count["steps"] / (training + evaluating),
        "seconds": seconds,
        "training": training,
        "evaluating": evaluating,
        "waiting": seconds - training - evaluating,
        "times_single_lane": lanes * row["single_lane_step"] / row["step"],
    }


def published(engine: Mapping[str, Any], peers: Mapping[str, Any], trials: int) -> dict[str, float]:
    """Hours for as many trials of this kind as the published study has; everything is compiled."""
    hours = lambda seconds: seconds / trials * PUBLISHED_TRIALS / 3_600
    report = {"trials": PUBLISHED_TRIALS, "engine_hours": hours(engine["warm"]["median"])}
    for peer, measured in peers.items():
        for protocol in PROTOCOLS:
            if protocol in measured:
                report[f"{peer}_{protocol}_hours"] = hours(
                    measured[protocol]["seconds"] - measured["start_and_compile"]
                )
    return report


def machine() -> dict[str, Any]:
    """Where the numbers come from; the device is known to the children alone."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit(),
    }


def processor() -> str:
    """The name that the kernel gives it, where there is one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def commit() -> str | None:
    """Of the checkout that this file is in; None elsewhere."""
    try:
        asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
