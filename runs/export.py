"""Writes the trials of a study as a table for other programs."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from runs.store import Store, StoreError
from runs.store.rows import TrialRow, trial_of
from runs.write import write_atomically

Table = list[dict[str, Any]]
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def export(directory: str | os.PathLike[str], out: str | os.PathLike[str], format: str) -> int:
    """Writes the intact trials of the store in `directory` to `out`; returns how many there are.

    One row per trial: batch size, seed, one `hparam.NAME` column for each hyperparameter, the outcome, where
    it was made and with which versions. CSV leaves the curves out; JSON and Parquet have them as
    `curve_steps` and `curve_values`. The file is complete or not there.

    Args:
      directory: folder of a study; it is only read, and may be in use.
      out: the file to write.
      format: "csv", "json" or "parquet".

    Raises:
      ValueError: unknown format.
      StoreError: nothing to read, no pyarrow, or `out` cannot be written.
    """
    if format not in FORMATS:
        raise ValueError(f"export: format must be one of {', '.join(FORMATS)}, got {format!r}")
    with Store(directory, read_only=True) as store:
        table = _table(store.trial_rows())
    data = FORMATS[format](table)
    try:
        write_atomically(out, data)
    except OSError as error:
        raise StoreError(f"{os.fspath(out)}: {error.strerror or error}") from error
    return len(table)


def _table(rows: list[TrialRow]) -> Table:
    """Rows with the same columns each; a hyperparameter that a trial does not have is None."""
    flat = [_flat(row) for row in rows]
    columns = dict.fromkeys(name for row in flat for name in row)
    return [{name: row.get(name) for name in columns} for row in flat]


def _flat(row: TrialRow) -> dict[str, Any]:
    trial = trial_of(row)
    return {
        "batch_size": trial.batch_size,
        "seed": trial.seed,
        **_prefixed("hparam", trial.hparams),
        "status": trial.status,
        "steps_to_goal": trial.steps_to_goal,
        "steps": trial.steps,
        "config_hash": row.config_hash,
        "chunk": row.chunk,
        "width": row.width,
        "device": row.device,
        "precision": row.precision,
        **_prefixed("version", json.loads(row.versions)),
        "curve_steps": trial.curve.steps.tolist(),
        "curve_values": trial.curve.values.tolist(),
    }


def _prefixed(prefix: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in columns.items()}


def _csv(table: Table) -> bytes:
    columns = [name for name in table[0] if not name.startswith("curve_")] if table else []
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
