"""Writes the trials of a folder as a table for other programs."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hparam.tuning.loss import stored_loss
from lr_batch import BUDGET, DIVERGED, Goal, steps_of_trials
from lr_batch.engine import Chunk
from runs.curve.run import batches_of, budget_of, damage_lines
from runs.folder import keeps, kind_of
from runs.regularize.array_store import ArrayStore
from runs.store import Store, StoreError
from runs.store.rows import TrialRow, trial_of
from runs.tune.run import first_fresh
from runs.verify import parts
from runs.write import plain, write_atomically

Table = list[dict[str, Any]]
TABLES = {"bench": ("a benchmark", "bench.json"), "noise-scale": ("a noise scale", "summary.json")}
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Exported(NamedTuple):
    """How many trials were written, and what was damaged and left out, a line each."""

    trials: int
    damage: tuple[str, ...]


def export(directory: str | os.PathLike[str], out: str | os.PathLike[str], format: str) -> Exported:
    """Writes the intact trials of the folder `directory` to `out`.

    One row per trial: workload, optimizer, goal, batch size, seed, one `hparam.NAME` column for each
    hyperparameter, the outcome, where it was made and with which versions. A setting that was trained again
    for a larger grid is listed once, as it was trained longest. CSV leaves the curves out; JSON and Parquet
    have them as `curve_steps` and `curve_values`. The file is complete or not there.

    Args:
      directory: folder of any command that trains; it is only read, and may be in use.
      out: the file to write.
      format: "csv", "json" or "parquet".

    Raises:
      ValueError: unknown format, an `out` that is a file of results, or a folder without trials of its own.
      StoreError: nothing to read, no pyarrow, or `out` cannot be written.
    """
    if format not in FORMATS:
        raise ValueError(f"export: format must be one of {', '.join(FORMATS)}, got {format!r}")
    if keeps(Path(out)):
        raise ValueError(f"export: {os.fspath(out)} is a file that a run keeps its results in; name another")
    table, damage = trials_of(Path(directory))
    columns = dict.fromkeys(name for row in table for name in row)
    if format == "csv":  # has no curves, and there may be many
        columns = [name for name in columns if not name.startswith("curve_")]
    data = FORMATS[format]([plain({name: row.get(name) for name in columns}) for row in table])
    try:
        write_atomically(out, data)
    except OSError as error:
        raise StoreError(f"{os.fspath(out)}: {error.strerror or error}") from error
    return Exported(len(table), damage)


def trials_of(folder: Path) -> tuple[Table, tuple[str, ...]]:
    """All trials of a folder, whatever it is for, as rows; and what was damaged and left out, a line each."""
    known = kind_of(folder)
    if known.kind in TABLES:
        what, table = TABLES[known.kind]
        raise ValueError(f"export: {folder} holds {what}; its table is {folder / table}")
    if known.kind in ("compare", "transfer"):
        found = [trials_of(inside) for inside in parts(folder, known.study)]
        return [row for rows, _ in found for row in rows], tuple(line for _, lines in found for line in lines)
    if known.kind == "regularize":
        arrays = ArrayStore(folder, read_only=True)
        damage = tuple(f"{path}: damaged; its chunk is left out and runs again" for path in arrays.damaged())
        rows = [row for chunk, of in arrays.chunks() for row in _fits(known.study, chunk, of)]
        return sorted(rows, key=lambda row: (row["batch_size"], row["seed"])), damage
    with Store(folder, read_only=True) as store:
        rows, damage, fresh = store.trial_rows(), damage_lines(store), first_fresh(store.events)
    if known.kind != "tune":
        return [_trial(row, known.study) for row in once(rows)], damage
    phase = lambda row: "fresh seed" if fresh is not None and row.seed >= fresh else "search"
    return [{"phase": phase(row)} | _segment(row, known.study) for row in rows], damage


def _segment(row: TrialRow, study: Mapping[str, Any]) -> dict[str, Any]:
    """A trial of a search, or a part of one, with the loss that the search was told."""
    trial = trial_of(row)
    steps_to_goal = float("nan") if trial.steps_to_goal is None else trial.steps_to_goal
    budget = int(study["budget"])
    return {"loss": stored_loss(study, trial.status, steps_to_goal, trial.curve.values, budget)} | _trial(
        row, study, "segment"
    )


def once(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """One trial for each batch size, seed and setting: the one trained longest."""
    longest: dict[tuple[Any, ...], TrialRow] = {}
    for row in rows:
        cell = (row.batch_size, row.seed, tuple(sorted(json.loads(row.hparams).items())))
        if cell not in longest or row.steps > longest[cell].steps:
            longest[cell] = row
    return list(longest.values())


def _study(study: Mapping[str, Any]) -> dict[str, Any]:
    metric, threshold = study["goal"][:2]
    goal = metric if threshold is None else str(Goal(*study["goal"]))
    return {"workload": study["workload"], "optimizer": study["optimizer"], "goal": goal}


def _trial(row: TrialRow, study: Mapping[str, Any], ended: str = "outpaced") -> dict[str, Any]:
    """`ended`: what became of a trial that neither reached the goal nor spent its budget."""
    trial = trial_of(row)
    early = trial.status == BUDGET and trial.steps < steps_of_trials(
        budget_of(study), trial.batch_size, batches_of(study)
    )
    return {
        **_study(study),
        "batch_size": trial.batch_size,
        "seed": trial.seed,
        **_prefixed("hparam", trial.hparams),
        "status": ended if early else trial.status,
        "steps_to_goal": trial.steps_to_goal,
        "steps": trial.steps,
        "last_value": trial.curve.values[-1]
        if len(trial.curve.values) and trial.status != DIVERGED
        else None,
        "config_hash": row.config_hash,
        "chunk": row.chunk,
        "width": row.width,
        "device": row.device,
        "precision": row.precision,
        **_prefixed("version", json.loads(row.versions)),
        "curve_steps": trial.curve.steps,
        "curve_values": trial.curve.values,
    }


def _fits(study: Mapping[str, Any], chunk: Chunk, arrays: Mapping[str, np.ndarray]) -> Table:
    """The trials of `lr-batch regularize`, at the evaluation that is kept."""
    curves = [name for name in arrays if name.startswith(("train.", "held_out."))]
    metric = f"held_out.{study['goal'][0]}"
    rows = []
    for lane, setting in enumerate(chunk.settings):
        kept = int(arrays["kept_eval"][lane])
        alive, stopped = bool(arrays["alive"][lane]), bool(arrays["stopped"][lane])
        row = {
            **_study(study | {"goal": [study["goal"][0], None]}),
            "regularizer": study["regularizer"],
            "batch_size": chunk.batch_size,
            "seed": chunk.seed,
            **_prefixed("hparam", setting),
            "status": "diverged" if not alive else "stopped early" if stopped else "finished",
            "kept_step": arrays["steps"][lane][kept],
            **{name: arrays[name][lane][kept] for name in (*curves, "weight_norm", "sparsity")},
            "chunk": chunk.id,
            "curve_steps": arrays["steps"][lane],
            "curve_values": arrays[metric][lane],
        }
        rows.append(row)
    return rows


def _prefixed(prefix: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in columns.items()}


def _csv(table: Table) -> bytes:
    columns = list(table[0]) if table else []
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(map(_inert, columns))
    writer.writerows([_inert(row[name]) for name in columns] for row in table)
    return file.getvalue().encode()


def _inert(cell: Any) -> Any:
    """Text that a spreadsheet would take for a formula, made text by an apostrophe."""
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return f"'{cell}"
    return cell


def _json(table: Table) -> bytes:
    return (json.dumps(table, indent=1, allow_nan=False) + "\n").encode()


def _parquet(table: Table) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise StoreError(f"export to parquet needs pyarrow ({error}); csv and json need nothing") from error
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), file)
    return file.getvalue()


FORMATS: dict[str, Callable[[Table], bytes]] = {"csv": _csv, "json": _json, "parquet": _parquet}
