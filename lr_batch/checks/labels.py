"""Labels and tokens that an array reads from its wrong end, or takes for its last entry.

JAX refuses no index: -1 is the last entry, and what lies beyond the end is, by the way it is read, NaN (then the loss
is not finite), the last entry, or no entry at all.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Int

from lr_batch.checks.probe import Probe, spread, take
from lr_batch.errors import StudyError
from lr_batch.problem.column import is_streamed
from lr_batch.problem.weights import WEIGHTS

FAR = 1_000_003  # an index beyond every array
STREAMED_ROWS = 256  # examples that are looked at where they are streamed
CANDIDATES = 64  # classes beyond the largest label that -1 may stand for


def check_labels(probe: Probe) -> list[str]:
    """Raises StudyError for labels, or tokens of the inputs, out of range."""
    data = _looked_at(probe.workload.train_data)
    if not isinstance(data, dict) or not {"x", "y"} <= set(data):
        return []
    said = []
    if _integers(data["y"]):
        # What weighs nothing, such as padding, may be anything
        labels = np.asarray(data["y"])[_counts(data, "y")]
        _check_targets(probe, labels, data["y"].ndim)
        said.append(f"labels: {labels.min()} to {labels.max()}, each with a loss of its own")
    if _integers(data["x"]):
        _check_tokens(probe, data["x"])
        said.append(
            f"whole numbers of x: {data['x'].min()} to {data['x'].max()}, none read from the wrong end of a table"
        )
    return said


def _looked_at(data: Any) -> Any:
    """All examples; of streamed ones as many as are read in a moment."""
    return take(data, spread(data, STREAMED_ROWS)) if is_streamed(data) else data


def _integers(array: Any) -> bool:
    return np.dtype(array.dtype).kind in "iu"


def _counts(data: Any, side: str) -> Bool[np.ndarray, " ..."]:
    """Which numbers of a part of the data count, where the targets have weights."""
    shape = np.shape(data[side])
    if side != "y" or WEIGHTS not in data:
        return np.ones(shape, bool)
    weights = np.asarray(data[WEIGHTS])
    return np.broadcast_to(weights.reshape(*weights.shape, *(1,) * (len(shape) - weights.ndim)) > 0, shape)


def _check_targets(probe: Probe, y: Int[np.ndarray, " labels"], ndim: int) -> None:
    low, high, name = int(y.min()), int(y.max()), probe.workload.name
    if low < 0 and (taken := _same(probe, "y", low, range(high + CANDIDATES))) is not None:
        raise StudyError(
            f"{name}: label {low} counts from the end: it trains class {taken}; labels go from 0 to classes - 1"
        )
    smaller = [int(label) for label in np.unique(y) if 0 <= label < high][-CANDIDATES:]
    beyond = _same(probe, "y", high, [FAR]) is not None
    if beyond and (taken := _same(probe, "y", high, smaller)) is not None:
        raise StudyError(
            f"{name}: label {high} has the loss of label {taken}: it lies beyond the last class; "
            "labels go from 0 to classes - 1"
        )
    if beyond and ndim == 1 and not np.any(_with(probe, "y", high, high)):
        raise StudyError(
            f"{name}: examples with label {high} have loss 0 whatever the model says: it lies beyond the last "
            "class; labels go from 0 to classes - 1"
        )


def _check_tokens(probe: Probe, x: Int[np.ndarray, " ..."]) -> None:
    low, high, name = int(x.min()), int(x.max()), probe.workload.name
    sizes = {size for leaf in jax.tree.leaves(probe.params[0]) for size in np.shape(leaf)}
    if low < 0 and (taken := _same(probe, "x", low, [n + low for n in sizes if n + low >= 0])) is not None:
        raise StudyError(
            f"{name}: token {low} of the inputs counts from the end: it reads row {taken} of its table"
        )
    if (taken := _same(probe, "x", high, [n - 1 for n in sizes if n - 1 < high])) is not None:
        raise StudyError(
            f"{name}: token {high} of the inputs is beyond its table, of which it reads the last row, {taken}"
        )


def _same(probe: Probe, side: str, value: int, others: Any) -> int | None:
    """The first of `others` that may stand in the place of `value` without changing any loss."""
    plain = _with(probe, side, value, value)
    if not np.isfinite(plain).all():
        return None
    return next((other for other in others if np.array_equal(plain, _with(probe, side, value, other))), None)


def _with(probe: Probe, side: str, value: int, other: int) -> np.ndarray:
    """Losses of examples that have `value`, with `other` in its place; NaN counts as a number of its own."""
    data = _looked_at(probe.workload.train_data)
    has = ((np.asarray(data[side]) == value) & _counts(data, side)).reshape(len(data[side]), -1).any(axis=1)
    rows = np.resize(np.flatnonzero(has), len(spread(data, probe.rows)))
    batch = take(data, rows)
    batch = {**batch, side: np.where(batch[side] == value, other, batch[side]).astype(batch[side].dtype)}
    losses = probe.loss(probe.params[1], batch, probe.keys[0])
    return np.where(np.isnan(losses), np.inf, losses)
