"""Metrics of the held-out set, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lr_batch.lanes.held_out_blocks import part_rows
from lr_batch.lanes.mesh import apart
from lr_batch.problem.whole_set import MEAN, Metric
from lr_batch.problem.workload import PyTree, Workload

AnyArray = Any  # of NumPy, or of JAX


def metrics_over_blocks(
    workload: Workload, params: PyTree, names: Sequence[str], blocks: PyTree, mask: Bool[AnyArray, "blocks n"]
) -> dict[str, Float[Array, ""]]:
    """The metrics of these names over the rows that `mask` marks, one block at a time.

    Means are weighted where the workload has weights; metrics of the whole set are computed as they say themselves.
    """
    metrics = {name: _metric(workload, name) for name in names}

    def add_block(states, block):
        batch, valid = apart(block)
        values, weights = workload.evaluate(params, batch), weights_of(workload, batch, valid)
        added = {
            name: metric.accumulate(states[name], *_arguments(workload, name, values[name]), weights)
            for name, metric in metrics.items()
        }
        return added, None

    states, _ = jax.lax.scan(add_block, {name: m.init() for name, m in metrics.items()}, (blocks, mask))
    return {
        name: states[name] / jnp.sum(mask) if metric is SUM else metric.finish(states[name])
        for name, metric in metrics.items()
    }


def metric_over_part(
    workload: Workload,
    params: PyTree,
    name: str,
    blocks: PyTree,
    order: Int[AnyArray, " rows"],
    first: Int[AnyArray, ""],
    number: Int[AnyArray, ""],
) -> Float[Array, ""]:
    """A metric over `number` rows from place `first` of `order` on, around its end."""
    size, metric = part_rows(), _metric(workload, name)
    rows = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), blocks)

    def add_rows(index, state):
        place = index * size + jnp.arange(size)
        chosen = apart(order[(first + place) % order.shape[0]])
        batch = jax.tree.map(lambda leaf: leaf[chosen], rows)
        values = workload.evaluate(params, batch)[name]
        weights = weights_of(workload, batch, place < number)
        return metric.accumulate(state, *_arguments(workload, name, values), weights)

    state = jax.lax.fori_loop(0, -(-number // size), add_rows, metric.init())
    return state / number if metric is SUM else metric.finish(state)


def weights_of(workload: Workload, batch: PyTree, valid: Bool[AnyArray, " n"]) -> Any:
    """Weights `[n, ...]` of a block, 0 for rows that only fill it; the mask itself where all weigh the same."""
    if workload.weights is None:
        return valid
    weights = workload.weights(batch)
    return jnp.where(valid.reshape(-1, *(1,) * (weights.ndim - 1)), weights, 0.0)


# Of values [n]: the mean, once it is divided by the number of rows.
SUM = Metric(
    lambda: jnp.zeros(()),
    lambda total, values, valid: total + jnp.sum(jnp.where(valid, values, 0.0)),
    lambda total: total,
)


def _metric(workload: Workload, name: str) -> Metric:
    if (own := workload.metrics.get(name)) is not None:
        as_numbers = lambda state, *args: own.accumulate(state, *args[:-1], args[-1].astype(jnp.float32))
        return own._replace(accumulate=as_numbers)
    return SUM if workload.weights is None else MEAN


def _arguments(workload: Workload, name: str, values: Any) -> tuple:
    """What `evaluate` returned for a metric: values of examples, or all arguments of `accumulate`."""
    return tuple(values) if name in workload.metrics else (values,)
