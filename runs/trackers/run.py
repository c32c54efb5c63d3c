"""A trial as the trackers know it: a run with a configuration, a curve and an outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runs.export import Table

# Of an exported row, beside hyperparameters: what was chosen, and what came of it.
CONFIG = ("workload", "optimizer", "regularizer", "goal", "batch_size", "seed", "phase")
OUTCOME = ("loss", "steps_to_goal", "steps", "last_value", "kept_step")
BY_TRIAL, BY_BATCH_SIZE = "trial", "batch-size"


class Run(NamedTuple):
    """`name` is of this run alone; `curve` has (step, value) of `metric` on held-out examples."""

    name: str
    group: str
    config: Mapping[str, Any]
    metric: str
    curve: Sequence[tuple[int, float]]
    outcome: Mapping[str, float]
    status: str


def runs_of(table: Table, folder: Path, each: str) -> list[Run]:
    """One run for each trial, or for each batch size of each optimizer: that of its best trial, with counts of all.

    The best trial reached the goal in the fewest steps; where none did it is the one that came closest to it.
    """
    if each == BY_TRIAL:
        digits = len(str(max(len(table) - 1, 0)))
        return [_run(row, folder, f"{i:0{digits}}") for i, row in enumerate(table)]
    cells: dict[tuple[str, int], Table] = {}
    for row in table:
        cells.setdefault((str(row["optimizer"]), int(row["batch_size"])), []).append(row)
    return [_of_cell(rows, folder) for _, rows in sorted(cells.items(), key=lambda cell: cell[0])]


def _run(row: Mapping[str, Any], folder: Path, number: str) -> Run:
    hparams = {
        name.removeprefix("hparam."): value for name, value in row.items() if name.startswith("hparam.")
    }
    config = {name: row[name] for name in CONFIG if row.get(name) is not None} | hparams
    curve = zip(row["curve_steps"], row["curve_values"], strict=True)
    return Run(
        name="-".join([f"batch-{row['batch_size']}", f"seed-{row['seed']}", number]),
        group=folder.resolve().name,
        config=config,
        metric=str(row["goal"]).split()[0],
        curve=[(int(step), float(value)) for step, value in curve if math.isfinite(value)],
        outcome={name: float(row[name]) for name in OUTCOME if _is_finite(row.get(name))},
        status=str(row["status"]),
    )


def _of_cell(rows: Table, folder: Path) -> Run:
    above = ">" in str(rows[0]["goal"])
    run = _run(min(rows, key=lambda row: _rank(row, above)), folder, str(rows[0]["optimizer"]))
    counts = {
        f"trials_{status}": sum(row["status"] == status for row in rows) for status in ("reached", "diverged")
    }
    name = f"{rows[0]['optimizer']}-batch-{rows[0]['batch_size']}"
    return run._replace(name=name, outcome={**run.outcome, "trials": len(rows), **counts})


def _rank(row: Mapping[str, Any], above: bool) -> tuple[float, float]:
    steps, values = row.get("steps_to_goal"), row["curve_values"]
    last = float(values[-1]) if len(values) and math.isfinite(values[-1]) else math.inf
    last = math.inf if row["status"] == "diverged" else -last if above else last
    return (float(steps) if steps is not None and _is_finite(steps) else math.inf, last)


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
