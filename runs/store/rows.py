"""Rows of the store, of studies, chunks, trials and events: each with a checksum over its other columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

from lr_batch import BUDGET, DIVERGED, REACHED, Curve, Trial
from lr_batch.engine import Chunk, ChunkResult

# Fixed byte orders, so that a store can be carried between machines.
STEPS, VALUES = np.dtype("<i8"), np.dtype("<f4")
BLOBS = frozenset({"eval_steps", "curve"})


class StudyRow(NamedTuple):
    """What a folder is for: `kind` is the command's name, `study` all that decides its numbers, as JSON."""

    kind: str
    study: str
    command: str
    versions: str
    checksum: str


class EventRow(NamedTuple):
    """Something that happened to the store."""

    event: str
    checksum: str


class TrialRow(NamedTuple):
    """`curve` is the held-out goal metric at `eval_steps`, NaN where the lane was no longer trained."""

    config_hash: str
    seed: int
    chunk: str
    lane: int
    batch_size: int
    hparams: str
    steps_to_goal: float | None
    steps: int
    status: str
    eval_steps: bytes
    curve: bytes
    width: int
    device: str
    precision: str
    versions: str
    checksum: str


class ChunkRow(NamedTuple):
    """What the lanes of a chunk share and no figure needs."""

    id: str
    identity: str
    batch_size: int
    seed: int
    seconds: float
    events: str
    checksum: str


def checksum(columns: tuple[Any, ...]) -> str:
    """32 hex digits over the columns, types included but for bytes and their number."""
    blobs, rest = [], []
    for column in columns:
        if isinstance(column, bytes):
            blobs.append(column)
            column = len(column)
        rest.append(column)
    return hashlib.blake2b(repr(rest).encode() + b"".join(blobs), digest_size=16).hexdigest()


Row = StudyRow | ChunkRow | TrialRow | EventRow


BYTES_AT = {
    kind: [name in BLOBS for name in kind._fields] for kind in (StudyRow, ChunkRow, TrialRow, EventRow)
}


def is_intact(row: Row) -> bool:
    """Whether the checksum holds, and bytes are where they belong: the checksum takes an empty blob for a 0."""
    bytes_at = [isinstance(column, bytes) for column in row]
    return bytes_at == BYTES_AT[type(row)] and row.checksum == checksum(row[:-1])


def study_row(kind: str, study: Mapping[str, Any], command: str) -> StudyRow:
    columns = (kind, json.dumps(study, allow_nan=False), command, versions())
    return StudyRow(*columns, checksum(columns))


def event_row(event: str) -> EventRow:
    return EventRow(event, checksum((event,)))


def chunk_row(chunk: Chunk, result: ChunkResult) -> ChunkRow:
    columns = (
        chunk.id,
        json.dumps(chunk.identity.described(), sort_keys=True),
        int(chunk.batch_size),
        int(chunk.seed),
        float(result.seconds),
        json.dumps(result.events),
    )
    return ChunkRow(*columns, checksum(columns))


def trial_row(chunk: Chunk, result: ChunkResult, lane: int) -> TrialRow:
    steps_to_goal = float(result.steps_to_goal[lane])
    columns = (
        chunk.trial_hash(lane),
        int(chunk.seed),
        chunk.id,
        lane,
        int(chunk.batch_size),
        json.dumps({name: float(value) for name, value in chunk.settings[lane].items()}),
        None if np.isnan(steps_to_goal) else steps_to_goal,
        int(result.steps[lane]),
        str(result.status[lane]),
        np.asarray(result.eval_steps, STEPS).tobytes(),
        np.asarray(result.values[:, lane], VALUES).tobytes(),
        int(result.width),
        result.device,
        result.precision,
        result.versions or versions(),
    )
    return TrialRow(*columns, checksum(columns))


@cache
def versions() -> str:
    """Versions of what decides a trial's last bits, as JSON."""
    return json.dumps({name: _version(name) for name in ("jax", "jaxlib", "optax", "numpy", "lr-batch")})


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"  # lr-batch run from its sources


def curve_of(row: TrialRow) -> Curve:
    """All evaluations of the trial's chunk: int64 steps, float32 values."""
    return Curve(np.frombuffer(row.eval_steps, STEPS), np.frombuffer(row.curve, VALUES))


def trial_of(row: TrialRow) -> Trial:
    """The trial, its curve without the evaluations at which it was no longer alive."""
    return Trial(
        batch_size=row.batch_size,
        seed=row.seed,
        hparams=dict(_read(row.hparams)),
        steps_to_goal=row.steps_to_goal,
        status=row.status,
        curve=Curve.while_alive(*curve_of(row)),
        steps=row.steps,
    )


@lru_cache(100_000)
def _read(hparams: str) -> dict[str, float]:
    """Settings come again for every seed."""
    return json.loads(hparams)


def same_outcome(one: TrialRow, other: TrialRow) -> bool:
    """Whether two rows of one configuration and seed report the same numbers, whichever chunk they ran in."""
    return _numbers(trial_of(one)) == _numbers(trial_of(other))


def _numbers(trial: Trial) -> tuple[Any, ...]:
    curve = (trial.curve.steps.tobytes(), trial.curve.values.tobytes())
    return (trial.steps_to_goal, trial.steps, trial.status, curve)


def result_of(rows: list[TrialRow], chunk: ChunkRow) -> ChunkResult:
    """The rows of a finished chunk as it was saved. Rows that were accepted from different
    chunks share the union of their evaluations, NaN where a lane has none."""
    curves = [curve_of(row) for row in rows]
    eval_steps = np.unique(np.concatenate([curve.steps for curve in curves]))
    values = np.full((len(eval_steps), len(rows)), np.nan, np.float32)
    for lane, curve in enumerate(curves):
        values[np.searchsorted(eval_steps, curve.steps), lane] = curve.values
    return ChunkResult(
        steps_to_goal=np.array([np.nan if row.steps_to_goal is None else row.steps_to_goal for row in rows]),
        steps=np.array([row.steps for row in rows], np.int64),
        status=tuple(row.status for row in rows),
        eval_steps=eval_steps,
        values=values,
        width=rows[0].width,
        device=rows[0].device,
        precision=rows[0].precision,
        seconds=chunk.seconds,
        events=tuple(json.loads(chunk.events)),
        versions=rows[0].versions,
    )


def check_result(chunk: Chunk, result: ChunkResult) -> None:
    """Raises `ValueError` where the columns of `result` do not fit each other or the chunk."""
    lanes, evals = len(chunk.settings), len(result.eval_steps)
    lengths = {len(result.steps_to_goal), len(result.steps), len(result.status)}
    if lengths != {lanes} or np.shape(result.values) != (evals, lanes):
        raise ValueError(
            f"Store.save: {lanes} lanes and {evals} evaluations need columns of {lanes} and values of "
            f"({evals}, {lanes}), got columns of {sorted(lengths)} and values of {np.shape(result.values)}"
        )
    if np.any(np.diff(result.eval_steps) <= 0):
        raise ValueError(f"Store.save: eval_steps must ascend, got {list(result.eval_steps)}")
    unknown = set(result.status) - {REACHED, BUDGET, DIVERGED}
    if unknown:
        raise ValueError(f"Store.save: status must be reached, budget or diverged, got {sorted(unknown)}")
