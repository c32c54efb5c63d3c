"""Trains the lanes of a chunk for a set time and measures them along the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

import reg
from lr_batch.lanes.evaluation import metrics_over_blocks
from lr_batch.lanes.execution import over_lanes
from lr_batch.lanes.lane import Draw, LaneOptimizer, LaneState, freeze, make_lane
from lr_batch.lanes.micro_batch import MicroBatch
from lr_batch.lanes.race import AnyArray, Data, make_refresh_lanes, make_train, state_axes
from lr_batch.problem.workload import VMAP, Fitted, Goal, PyTree, Workload, num_examples
from reg.early_stopping import NEVER

CONFIDENCE_BINS = 20
ZERO = 0.0  # sparsity counts weights that are exactly this


class Measures(NamedTuple):
    """Of one lane at one evaluation: metrics; norm and sparsity of the weights."""

    train: Mapping[str, Float[Array, ""]]
    held_out: Mapping[str, Float[Array, ""]]
    weight_norm: Float[Array, ""]
    sparsity: Float[Array, ""]


class Fit(NamedTuple):
    """What a chunk leaves behind. Leaves of `curves` are `[evals, lanes]`.

    `kept_eval` is the evaluation whose parameters are the outcome: the last, or the best under early
    stopping. `stopped` says where that rule ended the training, `alive` where it went without a loss that is
    not finite. `confidence[lane, bin]` counts held-out examples by the probability of their likeliest class,
    `correct` those of them that it is right for; both are empty where the loss is no cross entropy of
    classes.
    """

    curves: Measures
    kept_eval: Int[Array, " lanes"]
    stopped: Bool[Array, " lanes"]
    alive: Bool[Array, " lanes"]
    confidence: Float[Array, "lanes bins"]
    correct: Float[Array, "lanes bins"]


class FitData(NamedTuple):
    """`held_out` as the engine has it, beside a part of the training data in the same blocks."""

    held_out: Data
    train_blocks: PyTree
    train_mask: Bool[AnyArray, "blocks n"]


def make_fit(
    workload: Workload,
    optimizer: LaneOptimizer,
    goal: Goal,
    stop: Callable[[Mapping[str, Array]], reg.EarlyStopping] | None,
    *,
    hparams: Sequence[str],
    micro_batches: Sequence[MicroBatch],
    num_classes: int | None,
    execution: str = VMAP,
) -> Callable[..., Fit]:
    """`(hparams, seed, batch_size, cadence, data) -> Fit`; `cadence[e]` is the step of evaluation e, the
    first 0.

    Args:
      goal: whose held-out metric and direction an early-stopping rule judges by.
      stop: the rule, or None.
      num_classes: of a cross entropy of class labels, else None.
      execution: of the lanes, see `lr_batch.lanes.execution`.
    """
    lane = make_lane(workload, optimizer, goal.metric, micro_batches)
    axes = state_axes(lane, hparams, workload.train_data)
    train, refresh = make_train(lane, axes, execution), make_refresh_lanes(lane, axes, execution)
    rule = stop or (lambda values: reg.early_stopping(NEVER))

    def fit(hparams, seed, batch_size, cadence, data):
        width = next(iter(hparams.values())).shape[0]
        start = jax.vmap(lane.init, in_axes=(0, None, 0), out_axes=axes)(hparams, seed, jnp.ones(width, bool))
        stopping = jax.vmap(lambda h, s: rule(h).init(lane.fitted(s)), in_axes=(0, axes))(hparams, start)

        def period(carry, evaluation):
            number, step = evaluation
            state, draw, stopping = carry
            num_steps = step - draw.step
            state, draw = train(hparams, state, draw, num_steps, batch_size, data.held_out.train)
            state = refresh(state, data.held_out.train)
            measures = over_lanes(lambda s: measure(workload, lane.fitted(s), data), (axes,), 0, execution)(
                state
            )
            state, stopping = jax.vmap(
                lambda h, s, e, m: judge(
                    rule(h), s, e, lane.fitted(s), goal.sign * m.held_out[goal.metric], number, bool(stop)
                ),
                in_axes=(0, axes, 0, 0),
                out_axes=(axes, 0),
            )(hparams, state, stopping, measures)
            return (state, draw, stopping), measures

        first = Draw.first(seed, num_examples(workload.train_data))
        evaluations = (jnp.arange(cadence.shape[0]), cadence)
        (state, _, stopping), curves = jax.lax.scan(period, (start, first, stopping), evaluations)
        last = cadence.shape[0] - 1
        kept = jax.vmap(lambda s: lane.fitted(s), in_axes=(axes,))(state) if not stop else stopping.params
        tally = lambda params: confidence(workload, params, data.held_out, num_classes)
        return Fit(
            curves,
            stopping.step if stop else jnp.full(width, last),
            stopping.stopped,
            state.alive | stopping.stopped,
            *over_lanes(tally, (0,), 0, execution)(kept),
        )

    return fit


def judge(
    rule: reg.EarlyStopping,
    state: LaneState,
    stopping: reg.EarlyStoppingState,
    params: PyTree,
    value: Float[Array, ""],
    number: Int[Array, ""],
    stops: bool,
) -> tuple[LaneState, reg.EarlyStoppingState]:
    """The lane after an evaluation: dead where its metric is not finite, frozen where the rule stops it, by a `value` of
    which less is better."""
    alive = state.alive & jnp.isfinite(value)
    if not stops:
        return state._replace(alive=alive), stopping
    after = rule.update(stopping, params, value, number)
    stopping = freeze(alive | stopping.stopped, after, stopping)
    return state._replace(alive=alive & ~stopping.stopped), stopping


def measure(workload: Workload, fitted: PyTree, data: FitData) -> Measures:
    """All metrics of `workload` on both parts, and the size of the weights."""
    params = fitted.params if isinstance(fitted, Fitted) else fitted
    chosen = zip(jax.tree.leaves(reg.weights(params)), jax.tree.leaves(params), strict=True)
    weights = jnp.concatenate([leaf.ravel() for keep, leaf in chosen if keep])
    return Measures(
        all_metrics(workload, fitted, data.train_blocks, data.train_mask),
        all_metrics(workload, fitted, data.held_out.held_out, data.held_out.mask),
        jnp.sqrt(jnp.vdot(weights, weights)),
        jnp.mean(weights == ZERO),
    )


def all_metrics(
    workload: Workload, params: PyTree, blocks: PyTree, mask: Bool[Array, "blocks n"]
) -> dict[str, Float[Array, ""]]:
    """Every metric of the workload over the rows that `mask` marks."""
    names = jax.eval_shape(workload.evaluate, params, jax.tree.map(lambda leaf: leaf[0], blocks))
    return metrics_over_blocks(workload, params, tuple(names), blocks, mask)


def confidence(
    workload: Workload, params: PyTree, data: Data, num_classes: int | None
) -> tuple[Float[Array, " bins"], Float[Array, " bins"]]:
    """Held-out examples by the probability of their likeliest class, and those of them it is right for."""
    if num_classes is None:
        return jnp.zeros(0), jnp.zeros(0)

    def loss(params, batch, key):
        del key
        return workload.evaluate(params, batch)["loss"]

    def count(block):
        batch, valid = block
        losses = reg.class_losses(loss, params, batch, jax.random.key(0), num_classes)
        top = jnp.exp(-jnp.min(losses, axis=0))
        right = jnp.argmin(losses, axis=0) == batch["y"]
        bins = jnp.clip((top * CONFIDENCE_BINS).astype(jnp.int32), 0, CONFIDENCE_BINS - 1)
        member = (bins[None] == jnp.arange(CONFIDENCE_BINS)[:, None]) & valid[None]
        tally = lambda rows: jnp.sum(rows, axis=1, dtype=jnp.float32)
        return tally(member), tally(member & right[None])

    counts = jax.lax.map(count, (data.held_out, data.mask))
    return counts[0].sum(axis=0), counts[1].sum(axis=0)
