"""Whether metrics of the whole held-out set are the same however the set is cut into blocks."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from lr_batch.checks.probe import Probe, spread, take
from lr_batch.errors import StudyError
from lr_batch.lanes.evaluation import weights_of
from lr_batch.problem.whole_set import MEAN
from lr_batch.problem.workload import PyTree

BLOCKS = 4  # that are cut in two ways
FIRST = 0.37  # of a block in the first one of the other cut: an odd number of examples of 64


def check_cuts(probe: Probe, name: str) -> list[str]:
    """Raises StudyError where the metric of the goal depends on blocks, or counts rows that only fill one."""
    workload = probe.workload
    if name not in workload.metrics:
        return []
    rows = spread(workload.eval_data, BLOCKS * probe.rows)
    one = value_over(probe, name, probe.params[1], rows)
    other = value_over(probe, name, probe.params[1], rows, FIRST)
    if np.isfinite(one) != np.isfinite(other) or abs(one - other) > probe.tolerance * (1 + abs(one)):
        raise StudyError(
            f"{workload.name}: {name} is {one:.6g}, and {other:.6g} where the same examples are cut into other "
            "blocks: what accumulate adds must not depend on the block, and rows of weight 0 must not count"
        )
    return [f"{name}: the same however the held-out examples are cut into blocks"]


def value_over(
    probe: Probe, name: str, params: PyTree, rows: Int[np.ndarray, " n"], first: float = 1.0
) -> float:
    """A metric of held-out rows, in blocks of `probe.rows` of which the first is filled only to that share."""
    metric = probe.workload.metrics.get(name, MEAN)
    state, accumulate = jax.tree.map(jnp.asarray, metric.init()), probe.once(metric.accumulate)
    for part, valid in _blocks(rows, probe.rows, int(first * probe.rows)):
        batch = take(probe.workload.eval_data, part)
        values, weights = probe.evaluate(params, batch)[name], weights_of(probe.workload, batch, valid)
        arguments = values if name in probe.workload.metrics else (values,)
        state = accumulate(state, *arguments, jnp.asarray(weights, jnp.float32))
    return float(metric.finish(state))


def _blocks(
    rows: Int[np.ndarray, " n"], size: int, first: int
) -> Iterator[tuple[Int[np.ndarray, " m"], Bool[np.ndarray, " m"]]]:
    """Rows and which of them count: a block is filled up with rows that do not."""
    for part in (rows[:first], *(rows[i : i + size] for i in range(first, len(rows), size))):
        yield np.resize(part, size) if len(part) < size else part, np.arange(size) < len(part)
