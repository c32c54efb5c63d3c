"""Weights of examples, or of their parts, in losses and metrics: a mask that leaves padding out is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lr_batch.problem.arrays import checked_array
from lr_batch.problem.column import Column
from lr_batch.problem.whole_set import by_example, weighted_sum
from lr_batch.problem.workload import Key, PyTree, Workload
from optim.arguments import type_of

WEIGHTS = "weights"


def with_weights(
    weights: Any, train: Mapping[str, Any], held_out: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Both parts of the data with their weights in float32; None of one part stands for equal ones.

    Raises:
      ValueError: one line, if weights are no pair, do not fit the targets, are negative, or all 0.
    """
    if weights is None:
        return dict(train), dict(held_out)
    if not (isinstance(weights, tuple | list) and len(weights) == 2):
        raise ValueError(
            f"from_arrays: weights must be a pair (of train, of held_out), got {type_of(weights)}"
        )
    parts = {"train": (weights[0], train), "held_out": (weights[1], held_out)}
    read = {part: _read(f"weights of {part}", *pair) for part, pair in parts.items() if pair[0] is not None}
    shape = next((array.shape[1:] for array in read.values()), ())
    for part, (_, data) in parts.items():
        read.setdefault(part, np.ones((len(data["y"]), *shape), np.float32))
    if read["train"].shape[1:] != read["held_out"].shape[1:]:
        raise ValueError(
            f"from_arrays: weights of an example have shape {read['train'].shape[1:]} in train, "
            f"{read['held_out'].shape[1:]} in held_out"
        )
    return {**train, WEIGHTS: read["train"]}, {**held_out, WEIGHTS: read["held_out"]}


def _read(what: str, weights: Any, data: Mapping[str, Any]) -> Any:
    array, shape = checked_array(what, weights), data["y"].shape
    if array.shape != shape[: array.ndim]:
        allowed = " or ".join(str(shape[: n + 1]) for n in range(len(shape)))
        raise ValueError(
            f"from_arrays: {what} must have shape {allowed}, one for each example or each part of its target, "
            f"got {array.shape}"
        )
    if isinstance(array, Column):  # which is read while it is trained on
        if array.dtype != np.float32:
            raise ValueError(
                f"from_arrays: {what} must be float32 where they are read from records, got {array.dtype}"
            )
        return array
    array = array.astype(np.float32)
    if (array < 0).any() or not array.any():
        raise ValueError(
            f"from_arrays: {what} must be at least 0, and some above, got {array.min():g} to {array.max():g}"
        )
    return array


def in_parts(batch: Mapping[str, Any]) -> bool:
    """Whether the parts of an example have weights of their own."""
    return WEIGHTS in batch and batch[WEIGHTS].ndim > 1


def of_examples(what: str, values: Any, batch: Mapping[str, Any]) -> Any:
    """Values `[m, ...]` of the parts of each example as their weighted mean `[m]`; as they are where examples have one
    weight each. 0 for an example without weight."""
    if not in_parts(batch):
        return values
    weights = batch[WEIGHTS]
    if getattr(values, "shape", None) != weights.shape:
        raise ValueError(
            f"from_arrays: {what} must return one value for each weight, {weights.shape} for {len(weights)} examples, "
            f"got {getattr(values, 'shape', type(values).__name__)}"
        )
    total, axes = by_example(weights), tuple(range(1, weights.ndim))
    return jnp.sum(jnp.where(weights > 0, weights * values, 0.0), axis=axes) / jnp.where(
        total > 0, total, 1.0
    )


def relative_losses(workload: Workload) -> Callable[[PyTree, PyTree, Key], Float[Array, " m"]]:
    """Losses of examples times their weights, in units of the mean weight of the training data."""
    weigh = workload.weights
    if weigh is None:
        return workload.loss
    unit = jnp.mean(by_example(jnp.asarray(weigh(workload.train_data))))

    def losses(params, batch, key):
        weights = by_example(weigh(batch))
        return jnp.where(weights > 0, weights * workload.loss(params, batch, key), 0.0) / unit

    return losses


def mean_loss(workload: Workload, params: PyTree, batch: PyTree, key: Key) -> Float[Array, ""]:
    """Training loss of a batch: the weighted mean, 0 where nothing has a weight."""
    losses = workload.loss(params, batch, key)
    if workload.weights is None:
        return jnp.mean(losses)
    weights = by_example(workload.weights(batch))
    total = jnp.sum(weights)
    return weighted_sum(losses, weights) / jnp.where(total > 0, total, 1.0)
