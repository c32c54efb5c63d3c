"""What every page has of a folder's trials: the table, and what was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lr_batch import BUDGET, Result
from runs.folder import kind_of
from runs.store import Store, StoreError
from runs.store.database import NAME

Rows = Sequence[Mapping[str, Any]]
# Of an exported row: what stands for the row itself, or is listed once under what was run.
LEFT_OUT = (
    "curve_",
    "version.",
    "config_hash",
    "chunk",
    "width",
    "workload",
    "device",
    "precision",
    "examples",
)
ALWAYS = ("batch_size", "seed", "status")


def rows_of(result: Result) -> list[dict[str, Any]]:
    """The trials of a study, each as the export would have it."""
    status = np.where((result.status == BUDGET) & ~result.spent, "outpaced", result.status)
    hparams = {name: [_value(result, name, v) for v in vs] for name, vs in result.hparams.items()}
    return [
        {
            "optimizer": result.optimizer,
            "batch_size": int(result.batch_size[i]),
            "seed": int(result.seed[i]),
            **{name: values[i] for name, values in hparams.items()},
            "status": str(status[i]),
            "steps_to_goal": float(result.steps_to_goal[i]),
            "steps": int(result.steps[i]),
            "examples": result.examples(int(result.batch_size[i]), int(result.steps[i])),
            f"last {result.goal.metric}": float(curve.values[-1]) if len(curve.values) else float("nan"),
        }
        for i, curve in enumerate(result.curves)
    ]


def _value(result: Result, name: str, value: float) -> float | str:
    """The number, or the word that it stands for."""
    text = result.words(name, value)
    try:
        float(text)
    except ValueError:
        return text
    return float(value)


def shown(rows: Rows) -> list[dict[str, Any]]:
    """The columns that tell trials apart; what all have in common is left out."""
    names = dict.fromkeys(name for row in rows for name in row if not name.startswith(LEFT_OUT))
    kept = [name for name in names if name in ALWAYS or len({str(row.get(name)) for row in rows}) > 1]
    kept = [name for name in kept if any(name in row for row in rows)]
    return [{name.removeprefix("hparam."): row.get(name) for name in kept} for row in rows]


def counts(rows: Rows) -> list[tuple[str, Any]]:
    """Devices, seeds, trials, and what they cost, as names and values."""
    seeds = sorted({int(row["seed"]) for row in rows})
    devices = sorted({str(row["device"]) for row in rows if row.get("device")})
    trained = [row for row in rows if row.get("steps") is not None]
    steps = sum(int(row["steps"]) for row in trained)
    examples = sum(row.get("examples", int(row["steps"]) * int(row["batch_size"])) for row in trained)
    entries: list[tuple[str, Any]] = [("devices", ", ".join(devices))] if devices else []
    entries += [("trials", len(rows)), ("seeds", listed(seeds))] if rows else []
    return entries + ([("optimizer steps", steps), ("training examples", examples)] if steps else [])


def provenance(folder: Path) -> list[tuple[str, Any]]:
    """The command that made a folder, its time and its versions; nothing where there is no store in it.

    Seconds are of the chunks, added up: what one worker alone would have taken.
    """
    try:
        known = kind_of(folder)
        with Store(folder, read_only=True) as store:
            seconds = sum(chunk.seconds for chunk in store.chunks())
    except StoreError:
        return []
    versions = ", ".join(f"{name} {version}" for name, version in known.versions.items())
    entries: list[tuple[str, Any]] = [("command", known.command or "called from Python")]
    entries += [("seconds of training", seconds)] if seconds else []
    entries += [("trained last", _last_change(folder))]
    return entries + ([("versions", versions)] if versions else [])


def _last_change(folder: Path) -> str:
    """When a trial was last kept, as the file system has it."""
    kept = [folder / NAME, *(folder / "chunks").glob("*.npz")]
    newest = max(path.stat().st_mtime for path in kept if path.exists())
    return datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%d %H:%M UTC")


def listed(seeds: Sequence[int]) -> str:
    """Seeds in a few words.

    >>> listed([0, 1, 2, 3]), listed([5]), listed([1, 7])
    ('0 to 3', '5', '1, 7')
    """
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
