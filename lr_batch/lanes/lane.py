"""One trial as pure functions: the engine maps them over the lanes of a chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

import optim
from lr_batch.lanes.batch_pass import Pass, batch_pass, differentiable_value
from lr_batch.lanes.batch_statistics import make_refresh, moved
from lr_batch.lanes.draw import Draw, Window
from lr_batch.lanes.evaluation import metric_over_part, metrics_over_blocks
from lr_batch.lanes.micro_batch import MicroBatch
from lr_batch.problem.lane_optimizer import ChangingOptimizer, LaneOptimizer
from lr_batch.problem.regularized import RegularizedOptimizer
from lr_batch.problem.scheduled import ScheduledOptimizer
from lr_batch.problem.statistics import RECOMPUTED
from lr_batch.problem.workload import PyTree, Workload

Hparams = Mapping[str, Float[Array, ""]]


class LaneState(NamedTuple):
    """What one trial carries from step to step. `last_step` is the last step whose loss was finite; `averages` are those
    of batch statistics, where the model has any."""

    params: PyTree
    opt_state: PyTree
    alive: Bool[Array, ""]
    last_step: Int[Array, ""]
    averages: PyTree = ()


class Lane(NamedTuple):
    """`init: (hparams, seed, alive) -> LaneState`; `step: (hparams, state, draw, batch_size, data) -> LaneState`;
    `evaluate: (state, data, mask) -> scalar`, the goal metric of the held-out examples;
    `evaluate_part: (state, data, order, first, number) -> scalar`, the same over `number` of them from place `first` of
    `order` on, around its end; `outcome: state -> params`, those to evaluate at, and `fitted: state -> fitted`, what
    the workload's `evaluate` takes; `refresh: (state, data) -> state` with averages recomputed from training data, None
    where that is not asked for; `metric` is the name of the goal's."""

    init: Callable[[Hparams, Int[Array, ""], Bool[Array, ""]], LaneState]
    step: Callable[[Hparams, LaneState, Draw | Window, Int[Array, ""], PyTree], LaneState]
    evaluate: Callable[[LaneState, PyTree, Bool[Array, "blocks n"]], Float[Array, ""]]
    evaluate_part: Callable[
        [LaneState, PyTree, Int[Array, " rows"], Int[Array, ""], Int[Array, ""]], Float[Array, ""]
    ]
    outcome: Callable[[LaneState], PyTree]
    fitted: Callable[[LaneState], PyTree]
    refresh: Callable[[LaneState, PyTree], LaneState] | None
    metric: str


def make_lane(
    workload: Workload,
    optimizer: LaneOptimizer,
    metric: str,
    micro_batches: Sequence[MicroBatch] | None = None,
    *,
    streamed: bool = False,
) -> Lane:
    """One trial of `workload` under `optimizer`, built inside the lane since its hyperparameters are traced.

    Args:
      workload: the problem.
      optimizer: a row of the registry, or of `lr_batch.as_optimizer`; with a regularizer, a schedule and changes around
        it or not.
      metric: of `workload.evaluate`.
      micro_batches: those that a step may choose from, see `lr_batch.lanes.micro_batch`; None for the smallest.
      streamed: whether `refresh` is given the sample that it needs in the place of all training data.
    """
    plain, statistics = traced_once(workload), workload.statistics
    micro_batches = micro_batches or (MicroBatch(workload.group),)
    initial = jax.tree.map(jnp.asarray, dict(statistics.initial)) if statistics else ()
    recompute = None
    if statistics and statistics.mode == RECOMPUTED:
        recompute = make_refresh(plain, statistics, sampled=streamed)
    optimizer, at = without_schedule(optimizer)

    def init(hparams, seed, alive):
        params = plain.init(jax.random.key(seed))
        opt_state = optax.with_extra_args_support(optimizer(at(hparams, 0))).init(params)
        return LaneState(params, opt_state, alive, jnp.int32(0), initial)

    def step(hparams, state, draw, batch_size, data):
        hparams = at(hparams, draw.step)
        tx = optax.with_extra_args_support(optimizer(hparams))
        trained, changed = plain, isinstance(optimizer, RegularizedOptimizer)
        if isinstance(optimizer, RegularizedOptimizer):
            trained = workload._replace(loss=optimizer.loss(workload, hparams))
        averages = () if recompute else state.averages
        whole = batch_pass(trained, draw, batch_size, micro_batches, data, averages, changed_loss=changed)
        after, moments = updated(tx, state, draw, whole, takes_key=changed)
        if statistics is None or recompute:
            return after
        averages = moved(statistics, state.averages, moments, batch_size // statistics.group)
        return after._replace(averages=freeze(after.alive, averages, state.averages))

    def outcome(state):
        return optimizer.eval_params(state.opt_state, state.params)

    def fitted(state):
        return plain.fitted(outcome(state), state.averages)

    def refresh(state, data):
        assert recompute
        return state._replace(averages=freeze(state.alive, recompute(outcome(state), data), state.averages))

    def evaluate(state, data, mask):
        return metrics_over_blocks(plain, fitted(state), (metric,), data, mask)[metric]

    def evaluate_part(state, data, order, first, number):
        return metric_over_part(plain, fitted(state), metric, data, order, first, number)

    return Lane(init, step, evaluate, evaluate_part, outcome, fitted, refresh if recompute else None, metric)


def updated(
    tx: optax.GradientTransformationExtraArgs,
    state: LaneState,
    draw: Draw | Window,
    whole: Callable[[PyTree], Pass],
    *,
    takes_key: bool,
) -> tuple[LaneState, PyTree]:
    """The lane after an update by the batch of `whole`, its averages as they were, and the moments of the batch.

    Where the loss is not finite, the gradient counts as zero and the parameters stay. `tx` is given the loss and its
    gradient, as values and as functions of the parameters, and the key of the step where it `takes_key`.
    """
    value_and_grad = lambda params: whole(params)[:2]
    value, grads, moments = whole(state.params)
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
        **({"key": draw.key} if takes_key else {}),
    )
    params = freeze(alive, optax.apply_updates(state.params, updates), state.params)
    last_step = jnp.where(alive, draw.step, state.last_step)
    return LaneState(params, opt_state, alive, last_step, state.averages), moments


def without_schedule(
    optimizer: LaneOptimizer,
) -> tuple[optim.Optimizer | RegularizedOptimizer, Callable[[Hparams, Int[Array, ""] | int], Hparams]]:
    """The optimizer inside schedule and changes, and `(hparams, step) -> hparams`, which gives it its hyperparameters."""
    if isinstance(optimizer, ChangingOptimizer):
        return without_schedule(optimizer.optimizer)[0], optimizer.at
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
