"""Loss and gradient of a batch, accumulated over its micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lr_batch.lanes.batch_statistics import (
    group_keys,
    in_groups,
    losses_of_groups,
    moments_of,
    no_moments,
    train_groups,
)
from lr_batch.lanes.draw import Draw, Window
from lr_batch.lanes.evaluation import weights_of
from lr_batch.lanes.mesh import apart
from lr_batch.lanes.micro_batch import MicroBatch, cheapest
from lr_batch.problem.whole_set import by_example, weighted_sum
from lr_batch.problem.workload import PyTree, Workload


class Pass(NamedTuple):
    """What a batch gives: mean loss, its gradient, and the moments of its groups, where the model has any."""

    value: Float[Array, ""]
    grads: PyTree
    moments: PyTree  # Moments, or nothing


def batch_pass(
    workload: Workload,
    draw: Draw | Window,
    batch_size: Int[Array, ""],
    micro_batches: Sequence[MicroBatch],
    data: PyTree,
    averages: PyTree = (),
    *,
    changed_loss: bool = False,
) -> Callable[[PyTree], Pass]:
    """`params -> Pass` over the batch of `draw`; without `averages` there are no moments. `changed_loss` says that
    the workload's loss is not that of its statistics, since a regularizer changes it.

    ceil(batch_size / m) micro-batches of m examples are accumulated in a loop whose length is traced, m being the
    cheapest of `micro_batches` for this batch size: so one program serves every batch size. Examples beyond
    batch_size in the last one have weight zero. Where examples have weights of their own, sums are divided by that of
    the whole batch, so that the result is the same for every m; a batch without any weight has loss and gradient 0.
    Examples of a group are neighbours in the batch, whatever m, and groups have their own noise.
    """
    step_key, statistics = draw.key, workload.statistics

    def micro_loss(params, index, micro_batch):
        number = index * micro_batch + jnp.arange(micro_batch)
        rows = apart(draw.rows(number))  # masked rows beyond the end read the last one
        batch = jax.tree.map(lambda leaf: leaf[rows], data)
        losses, moments = losses_and_moments(params, batch, index, number)
        valid = number < batch_size
        if workload.weights is None:
            return jnp.sum(jnp.where(valid, losses, 0.0)) / batch_size, ((), moments)
        weights = by_example(weights_of(workload, batch, valid))
        return weighted_sum(losses, weights), (jnp.sum(weights), moments)

    def losses_and_moments(params, batch, index, number):
        if statistics is None:
            return workload.loss(params, batch, jax.random.fold_in(step_key, index)), ()
        groups, count = in_groups(batch, statistics.group), len(number) // statistics.group
        keys = group_keys(step_key, index * count, count)
        valid = number[:: statistics.group] < batch_size
        losses, after = train_groups(statistics, params, averages or statistics.initial, groups, keys)
        if changed_loss:  # the averages are those of the model without the regularizer
            losses = losses_of_groups(workload, params, groups, keys)
        return losses, moments_of(statistics, averages, after, valid) if averages else ()

    def accumulated(micro_batch, params):
        def one(index):
            return jax.value_and_grad(micro_loss, has_aux=True)(params, index, micro_batch.examples)

        if not micro_batch.repeated:
            return one(0)
        weight = () if workload.weights is None else jnp.zeros(())
        moments = no_moments(statistics) if statistics and averages else ()
        zero = ((jnp.zeros(()), (weight, moments)), jax.tree.map(jnp.zeros_like, params))
        accumulate = lambda index, so_far: jax.tree.map(jnp.add, so_far, one(index))
        return jax.lax.fori_loop(0, -(-batch_size // micro_batch.examples), accumulate, zero)

    def whole(params):
        choices = [partial(accumulated, micro_batch) for micro_batch in micro_batches]
        summed = jax.lax.switch(cheapest(batch_size, micro_batches), choices, params)
        (value, (weight, moments)), grads = summed
        if workload.weights is None:
            return Pass(value, grads, moments)
        share = jnp.where(weight > 0, 1 / jnp.where(weight > 0, weight, 1.0), 0.0)
        value, grads = jax.tree.map(lambda leaf: (share * leaf).astype(leaf.dtype), (value, grads))
        return Pass(value, grads, moments)

    return whole


def batch_value_and_grad(
    workload: Workload,
    draw: Draw,
    batch_size: Int[Array, ""],
    micro_batches: Sequence[MicroBatch],
    data: PyTree,
) -> Callable[[PyTree], tuple[Float[Array, ""], PyTree]]:
    """`params -> (mean loss, its gradient)`, see `batch_pass`."""
    whole = batch_pass(workload, draw, batch_size, micro_batches, data)
    return lambda params: whole(params)[:2]


def differentiable_value(value_and_grad: Callable) -> Callable[..., Float[Array, ""]]:
    """`params -> value` whose gradient is the accumulated one: a loop of traced length cannot be transposed.

    It takes `grad_fn`, which SAM wants: a line search of Optax refuses whatever its `value_fn` does not take.
    """

    @jax.custom_vjp
    def value(params):
        return value_and_grad(params)[0]

    value.defvjp(value_and_grad, lambda grads, ct: (jax.tree.map(lambda g: ct * g, grads),))
    return lambda params, grad_fn=None: value(params)
