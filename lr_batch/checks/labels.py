"""Labels and tokens that an array reads from its wrong end, or takes for its last entry.

JAX refuses no index: -1 is the last entry, and what lies beyond the end is, by the way it is read, NaN (then the loss
is not finite), the last entry, or no entry at all. Held-out examples are looked at as those of training are: a goal that
is read off them is wrong without a word otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from lr_batch.checks.probe import Probe, spread, take
from lr_batch.errors import StudyError
from lr_batch.problem.column import is_streamed
from lr_batch.problem.weights import WEIGHTS

FAR = 1_000_003  # an index beyond every array
STREAMED_ROWS = 256  # examples that are looked at where they are streamed
FLOAT_END = 2**24  # of the whole numbers that float32 tells apart
NONE = np.zeros(())  # where metrics have no loss
FOUND = {"y": "each with a loss of its own", "x": "none read from the wrong end of a table"}
CANDIDATES = 64  # classes beyond those that labels show, for the last of which -1 may stand


class Part(NamedTuple):
    """Training or held-out examples, and the losses of some of them."""

    name: str  # before the word label or token
    data: Any
    losses: Callable[
        ..., Float[np.ndarray, " m"]
    ]  # of a batch, at the moved parameters or at those that are given


def check_labels(probe: Probe) -> list[str]:
    """Raises StudyError for labels, or tokens of the inputs, out of range."""
    said, seen = [], dict.fromkeys("xy", range(0))
    for part in labelled_parts(probe):
        for side, what in (("y", "labels"), ("x", "whole numbers of x")):
            numbers = _whole_numbers(part.data, side)
            if not numbers.size or all(int(end) in seen[side] for end in (numbers.min(), numbers.max())):
                continue  # held-out ones among those of training need no look of their own
            seen[side] = range(int(numbers.min()), int(numbers.max()) + 1)
            CHECKS[side](probe, part, numbers)
            said.append(f"{part.name}{what}: {numbers.min():g} to {numbers.max():g}, {FOUND[side]}")
    return said


def labelled_parts(probe: Probe) -> list[Part]:
    """Those parts of the data that consist of inputs and targets, and whose losses are known."""
    workload, moved = probe.workload, probe.params[1]
    held_out = lambda batch, params=moved: probe.metrics(params, batch).get("loss", NONE)
    losses = lambda batch, params=moved: probe.loss(params, batch, probe.keys[0])
    parts = [
        Part("", _looked_at(workload.train_data), losses),
        Part("held-out ", _looked_at(workload.eval_data), held_out),
    ]
    parts = [part for part in parts if isinstance(part.data, dict) and {"x", "y"} <= set(part.data)]
    return [part for part in parts if part.losses(take(part.data, spread(part.data, probe.rows))).ndim == 1]


def _looked_at(data: Any) -> Any:
    """All examples; of streamed ones as many as are read in a moment."""
    return take(data, spread(data, STREAMED_ROWS)) if is_streamed(data) else data


def _whole_numbers(data: Any, side: str) -> np.ndarray:
    """Tokens, or labels that count; none where they are no whole numbers. A loss may take floats for classes."""
    kind = np.dtype(data[side].dtype).kind
    if kind not in "iuf" or (side, kind) == ("x", "f"):
        return np.zeros(0, int)
    numbers = np.asarray(data[side])[
        _counts(data, side)
    ]  # what weighs nothing, such as padding, may be anything
    whole = kind != "f" or ((numbers == np.round(numbers)) & (np.abs(numbers) < FLOAT_END)).all()
    return numbers if whole else np.zeros(0, int)


def _counts(data: Any, side: str) -> Bool[np.ndarray, " ..."]:
    """Which numbers of a part of the data count, where the targets have weights."""
    shape = np.shape(data[side])
    if side != "y" or WEIGHTS not in data:
        return np.ones(shape, bool)
    weights = np.asarray(data[WEIGHTS])
    return np.broadcast_to(weights.reshape(*weights.shape, *(1,) * (len(shape) - weights.ndim)) > 0, shape)


def _check_targets(probe: Probe, part: Part, y: np.ndarray) -> None:
    low, high, name = int(y.min()), int(y.max()), f"{probe.workload.name}: {part.name}"
    shown = max(high + 1, -low)  # classes; there may be more
    if (
        low < 0
        and (taken := _same(probe, part, "y", low, range(shown + low, shown + low + CANDIDATES))) is not None
    ):
        raise StudyError(
            f"{name}label {low} counts from the end: it is taken for class {taken}; labels go from 0 to classes - 1"
        )
    if y.dtype.kind == "f":
        return  # a count, of which a loss may ask no more than whether there is one
    smaller = [int(label) for label in np.unique(y) if 0 <= label < high][-CANDIDATES:]
    beyond = _same(probe, part, "y", high, [FAR]) is not None
    if beyond and (taken := _same(probe, part, "y", high, smaller)) is not None:
        raise StudyError(
            f"{name}label {high} has the loss of label {taken}: it lies beyond the last class; "
            "labels go from 0 to classes - 1"
        )
    if beyond and part.data["y"].ndim == 1 and not np.any(_with(probe, part, "y", high, high)):
        raise StudyError(
            f"{name}examples with label {high} have loss 0 whatever the model says: it lies beyond the last "
            "class; labels go from 0 to classes - 1"
        )
    none = beyond and low > 0 and _same(probe, part, "y", high, [-FAR]) is not None
    if none and _same(probe, part, "y", high, [0]) is None:
        raise StudyError(
            f"{name}label {high} is of no class, which label 0 is, that no example has: labels go from 0 to classes - 1"
        )


def _check_tokens(probe: Probe, part: Part, x: np.ndarray) -> None:
    low, high, name = int(x.min()), int(x.max()), f"{probe.workload.name}: {part.name}"
    sizes = {size for leaf in jax.tree.leaves(probe.params[0]) for size in np.shape(leaf)}
    if (
        low < 0
        and (taken := _same(probe, part, "x", low, [n + low for n in sizes if n + low >= 0])) is not None
    ):
        raise StudyError(
            f"{name}token {low} of the inputs counts from the end: it reads row {taken} of its table"
        )
    if (taken := _same(probe, part, "x", high, [n - 1 for n in sizes if n - 1 < high])) is not None:
        raise StudyError(
            f"{name}token {high} of the inputs is beyond its table, of which it reads the last row, {taken}"
        )


def _same(probe: Probe, part: Part, side: str, value: int, others: Any) -> int | None:
    """The first of `others` that may stand in the place of `value` without changing any loss."""
    plain = _with(probe, part, side, value, value)
    if not np.isfinite(plain).all():
        return None
    return next(
        (other for other in others if np.array_equal(plain, _with(probe, part, side, value, other))), None
    )


def _with(probe: Probe, part: Part, side: str, value: int, other: int) -> Float[np.ndarray, " m"]:
    """Losses of examples that have `value`, with `other` in its place; NaN counts as a number of its own."""
    data = part.data
    has = ((np.asarray(data[side]) == value) & _counts(data, side)).reshape(len(data[side]), -1).any(axis=1)
    rows = np.resize(np.flatnonzero(has), len(spread(data, probe.rows)))
    batch = take(data, rows)
    batch = {**batch, side: np.where(batch[side] == value, other, batch[side]).astype(batch[side].dtype)}
    losses = part.losses(batch)
    return np.where(np.isnan(losses), np.inf, losses)


CHECKS = {"y": _check_targets, "x": _check_tokens}
