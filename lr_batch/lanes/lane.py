"""One trial as pure functions: the engine maps them over the lanes of a chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

import optim
from lr_batch.lanes.evaluation import metric_over_part, metrics_over_blocks, weights_of
from lr_batch.lanes.micro_batch import MicroBatch, cheapest
from lr_batch.lanes.order import epoch_order
from lr_batch.problem.regularized import RegularizedOptimizer
from lr_batch.problem.scheduled import ScheduledOptimizer
from lr_batch.problem.whole_set import by_example, weighted_sum
from lr_batch.problem.workload import Key, PyTree, Workload

Hparams = Mapping[str, Float[Array, ""]]
LaneOptimizer = optim.Optimizer | RegularizedOptimizer | ScheduledOptimizer


class LaneState(NamedTuple):
    """What one trial carries from step to step. `last_step` is the last step whose loss was finite."""

    params: PyTree
    opt_state: PyTree
    alive: Bool[Array, ""]
    last_step: Int[Array, ""]


class Draw(NamedTuple):
    """Which examples and which noise a step uses; shared by all lanes of a chunk.

    The batch is the next `batch_size` examples of `orders`, the orders of this epoch and the next one end to end,
    from `offset` on.
    """

    seed: Int[Array, ""]
    step: Int[Array, ""]
    epoch: Int[Array, ""]
    offset: Int[Array, ""]
    orders: Int[Array, " twice_num_examples"]

    @classmethod
    def first(cls, seed: Int[Array, ""], num_examples: int) -> Draw:
        zero = jnp.int32(0)
        orders = [epoch_order(seed, zero + epoch, num_examples) for epoch in (0, 1)]
        return cls(seed, zero, zero, zero, jnp.concatenate(orders))

    @property
    def key(self) -> Key:
        """Of the noise of this step."""
        return jax.random.fold_in(jax.random.key(self.seed), self.step)

    def next(self, batch_size: Int[Array, ""]) -> Draw:
        num_examples = self.orders.shape[0] // 2
        used = self.offset + batch_size  # at most two epochs' worth, since no batch is larger than the data
        turned = used >= num_examples

        def next_orders():
            return jnp.concatenate(
                [self.orders[num_examples:], epoch_order(self.seed, self.epoch + 2, num_examples)]
            )

        if jax.default_backend() == "cpu":
            orders = jax.lax.cond(turned, next_orders, lambda: self.orders)
        else:  # computing an order takes less time than asking the host whether one is needed
            orders = jnp.where(turned, next_orders(), self.orders)
        epoch = self.epoch + turned
        return Draw(self.seed, self.step + 1, epoch, used - turned * num_examples, orders)


class Lane(NamedTuple):
    """`init: (hparams, seed, alive) -> LaneState`; `step: (hparams, state, draw, batch_size, data) -> LaneState`;
    `evaluate: (state, data, mask) -> scalar`, the goal metric of the held-out examples;
    `evaluate_part: (state, data, order, first, number) -> scalar`, the same over `number` of them from place `first` of
    `order` on, around its end; `outcome: state -> params`, those to evaluate at; `metric` is the name of the goal's."""

    init: Callable[[Hparams, Int[Array, ""], Bool[Array, ""]], LaneState]
    step: Callable[[Hparams, LaneState, Draw, Int[Array, ""], PyTree], LaneState]
    evaluate: Callable[[LaneState, PyTree, Bool[Array, "blocks n"]], Float[Array, ""]]
    evaluate_part: Callable[
        [LaneState, PyTree, Int[Array, " rows"], Int[Array, ""], Int[Array, ""]], Float[Array, ""]
    ]
    outcome: Callable[[LaneState], PyTree]
    metric: str


def batch_value_and_grad(
    workload: Workload,
    draw: Draw,
    batch_size: Int[Array, ""],
    micro_batches: Sequence[MicroBatch],
    data: PyTree,
) -> Callable[[PyTree], tuple[Float[Array, ""], PyTree]]:
    """`params -> (mean loss, its gradient)` over the batch of `draw`.

    ceil(batch_size / m) micro-batches of m examples are accumulated in a loop whose length is traced, m being the
    cheapest of `micro_batches` for this batch size: so one program serves every batch size. Examples beyond
    batch_size in the last one have weight zero. Where examples have weights of their own, sums are divided by that of
    the whole batch, so that the result is the same for every m; a batch without any weight has loss and gradient 0.
    """
    step_key = draw.key

    def micro_loss(params, index, micro_batch):
        number = index * micro_batch + jnp.arange(micro_batch)
        rows = draw.orders[draw.offset + number]  # masked rows beyond the end read the last one
        batch = jax.tree.map(lambda leaf: leaf[rows], data)
        losses = workload.loss(params, batch, jax.random.fold_in(step_key, index))
        valid = number < batch_size
        if workload.weights is None:
            return jnp.sum(jnp.where(valid, losses, 0.0)) / batch_size, ()
        weights = by_example(weights_of(workload, batch, valid))
        return weighted_sum(losses, weights), jnp.sum(weights)

    def accumulated(micro_batch, params):
        def one(index):
            return jax.value_and_grad(micro_loss, has_aux=True)(params, index, micro_batch.examples)

        if not micro_batch.repeated:
            return one(0)
        weight = () if workload.weights is None else jnp.zeros(())
        zero = ((jnp.zeros(()), weight), jax.tree.map(jnp.zeros_like, params))
        accumulate = lambda index, so_far: jax.tree.map(jnp.add, so_far, one(index))
        return jax.lax.fori_loop(0, -(-batch_size // micro_batch.examples), accumulate, zero)

    def value_and_grad(params):
        choices = [partial(accumulated, micro_batch) for micro_batch in micro_batches]
        (value, weight), grads = jax.lax.switch(cheapest(batch_size, micro_batches), choices, params)
        if workload.weights is None:
            return value, grads
        share = jnp.where(weight > 0, 1 / jnp.where(weight > 0, weight, 1.0), 0.0)
        return jax.tree.map(lambda leaf: (share * leaf).astype(leaf.dtype), (value, grads))

    return value_and_grad


def differentiable_value(value_and_grad: Callable) -> Callable[[PyTree], Float[Array, ""]]:
    """`params -> value` whose gradient is the accumulated one: a loop of traced length cannot be transposed."""

    @jax.custom_vjp
    def value(params):
        return value_and_grad(params)[0]

    value.defvjp(value_and_grad, lambda grads, ct: (jax.tree.map(lambda g: ct * g, grads),))
    return value


def make_lane(
    workload: Workload,
    optimizer: LaneOptimizer,
    metric: str,
    micro_batches: Sequence[MicroBatch] = (MicroBatch(1),),
) -> Lane:
    """One trial of `workload` under `optimizer`, built inside the lane since its hyperparameters are traced.

    Args:
      workload: the problem.
      optimizer: a row of the registry, or of `lr_batch.as_optimizer`; with a regularizer and a schedule around it or
        not.
      metric: of `workload.evaluate`.
      micro_batches: those that a step may choose from, see `lr_batch.lanes.micro_batch`.
    """
    plain = traced_once(workload)
    optimizer, at = without_schedule(optimizer)

    def init(hparams, seed, alive):
        params = plain.init(jax.random.key(seed))
        opt_state = optax.with_extra_args_support(optimizer(at(hparams, 0))).init(params)
        return LaneState(params, opt_state, alive, jnp.int32(0))

    def step(hparams, state, draw, batch_size, data):
        hparams = at(hparams, draw.step)
        tx = optax.with_extra_args_support(optimizer(hparams))
        trained = plain
        if isinstance(optimizer, RegularizedOptimizer):
            trained = workload._replace(loss=optimizer.loss(workload, hparams))
        value_and_grad = batch_value_and_grad(trained, draw, batch_size, micro_batches, data)
        value, grads = value_and_grad(state.params)
        alive = state.alive & jnp.isfinite(value)
        grads = freeze(alive, grads, jax.tree.map(jnp.zeros_like, grads))
        updates, opt_state = tx.update(
            grads,
            state.opt_state,
            state.params,
            value=value,
            grad=grads,
            value_fn=differentiable_value(value_and_grad),
            grad_fn=lambda params: value_and_grad(params)[1],
            **({"key": draw.key} if isinstance(optimizer, RegularizedOptimizer) else {}),
        )
        params = freeze(alive, optax.apply_updates(state.params, updates), state.params)
        return LaneState(params, opt_state, alive, jnp.where(alive, draw.step, state.last_step))

    def outcome(state):
        return optimizer.eval_params(state.opt_state, state.params)

    def evaluate(state, data, mask):
        return metrics_over_blocks(plain, outcome(state), (metric,), data, mask)[metric]

    def evaluate_part(state, data, order, first, number):
        return metric_over_part(plain, outcome(state), metric, data, order, first, number)

    return Lane(init, step, evaluate, evaluate_part, outcome, metric)


def without_schedule(
    optimizer: LaneOptimizer,
) -> tuple[optim.Optimizer | RegularizedOptimizer, Callable[[Hparams, Int[Array, ""] | int], Hparams]]:
    """The optimizer inside a schedule, and `(hparams, step) -> hparams`, which gives it its hyperparameters."""
    if isinstance(optimizer, ScheduledOptimizer):
        return optimizer.optimizer, optimizer.at
    return optimizer, lambda hparams, step: hparams


def traced_once(workload: Workload) -> Workload:
    """The same functions, which JAX traces once for the same shapes, however many programs call them.

    Not for a loss that a regularizer changes from outside while it is traced.
    """
    functions = {name: jax.jit(getattr(workload, name)) for name in ("init", "loss", "evaluate")}
    return workload._replace(**functions)


def freeze(alive: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    """`new` for a living lane, `old` for a diverged one."""
    return jax.tree.map(lambda a, b: jnp.where(alive, a, b), new, old)
