"""The parts of an engine's step as programs of their own, with the shapes that they have in a chunk.

Each is a loop `(num, state) -> state` over rounds of one optimizer step (or one evaluation), for
`runs.bench.stopwatch`. A part that needs another one is timed with it, and the other is subtracted: the
gradient includes its gather.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lr_batch import Study, num_examples
from lr_batch.engine import (
    EVAL_BLOCK,
    Draw,
    Lane,
    LaneState,
    MicroBatch,
    Product,
    batch_value_and_grad,
    in_blocks,
    make_lane,
    micro_batches_of,
    over_lanes,
    products,
    shuffled,
    state_axes,
)
from runs.bench.products import product_loop

Loop = tuple[Callable[[jax.Array, Any], Any], Any]


class TimedChunk(NamedTuple):
    """The lanes of one batch size with what they need; `execution` as in `lr_batch.lanes.execution`."""

    study: Study
    execution: str
    batch_size: int
    micro_batch: MicroBatch
    lane: Lane
    axes: LaneState
    hparams: dict[str, jax.Array]
    state: LaneState
    draw: Draw


def make_timed_chunk(study: Study, batch_size: int, width: int, execution: str) -> TimedChunk:
    (micro_batch,) = micro_batches_of((batch_size,), study.workload.micro_batch, study.workload.group)
    lane = make_lane(study.workload, study.lane_optimizer, study.goal.metric, (micro_batch,))
    axes = state_axes(lane, tuple(study.space), study.workload.train_data)
    settings = (study.settings * width)[:width]
    hparams = {name: jnp.array([s[name] for s in settings], jnp.float32) for name in study.space}
    init = jax.jit(jax.vmap(lane.init, in_axes=(0, None, 0), out_axes=axes))
    state = init(hparams, np.int32(0), np.ones(width, bool))
    draw = jax.jit(Draw.first, static_argnums=1)(np.int32(0), num_examples(study.workload.train_data))
    return TimedChunk(study, execution, batch_size, micro_batch, lane, axes, hparams, state, draw)


def gather(chunk: TimedChunk) -> Loop:
    """The draw of the next step and its examples, micro-batch by micro-batch."""
    data = jax.tree.map(jnp.asarray, chunk.study.workload.train_data)
    examples = chunk.micro_batch.examples
    blank = jax.tree.map(lambda leaf: leaf[:examples], data)

    def body(_: jax.Array, carry: tuple[Draw, Any, jax.Array]) -> tuple[Draw, Any, jax.Array]:
        draw, batch, size = carry

        def rows(index: jax.Array, batch: Any) -> Any:
            number = index * examples + jnp.arange(examples)
            return jax.tree.map(lambda leaf: leaf[draw.orders[draw.offset + number]], data)

        return draw.next(size), jax.lax.fori_loop(0, -(-size // examples), rows, batch), size

    return _rounds(body), (chunk.draw, blank, jnp.int32(chunk.batch_size))


def gather_and_gradient(chunk: TimedChunk) -> Loop:
    """The mean loss and its gradient in every lane; parameters stay as they are."""
    data = jax.tree.map(jnp.asarray, chunk.study.workload.train_data)

    def body(_: jax.Array, carry: tuple[Draw, Any, Any, jax.Array]) -> tuple[Draw, Any, Any, jax.Array]:
        draw, params, _, size = carry
        gradient = batch_value_and_grad(chunk.study.workload, draw, size, (chunk.micro_batch,), data)
        _, grads = over_lanes(gradient, (0,), (0, 0), chunk.execution)(params)
        return draw.next(size), params, grads, size

    params = chunk.state.params
    return _rounds(body), (chunk.draw, params, params, jnp.int32(chunk.batch_size))


def update(chunk: TimedChunk) -> Loop:
    """The optimizer and the addition of its update, given the gradient."""

    def one(hparams: dict[str, jax.Array], state: LaneState, grads: Any) -> LaneState:
        tx = optax.with_extra_args_support(chunk.study.lane_optimizer(hparams))
        loss = lambda params: optax.global_norm(params) ** 2  # for those that ask; not timed apart
        updates, opt_state = tx.update(
            grads,
            state.opt_state,
            state.params,
            value=jnp.zeros(()),
            grad=grads,
            value_fn=loss,
            grad_fn=jax.grad(loss),
        )
        return state._replace(params=optax.apply_updates(state.params, updates), opt_state=opt_state)

    lanes = over_lanes(one, (0, chunk.axes, 0), chunk.axes, chunk.execution)
    grads = jax.tree.map(lambda leaf: 1e-6 * jnp.ones_like(leaf), chunk.state.params)
    body = lambda _, carry: (lanes(chunk.hparams, carry[0], carry[1]), carry[1])
    return _rounds(body), (chunk.state, grads)


def evaluation(chunk: TimedChunk) -> Loop:
    """One evaluation of every lane, on all held-out rows."""
    held_out, mask = in_blocks(chunk.study.workload.eval_data, EVAL_BLOCK)
    lanes = over_lanes(chunk.lane.evaluate, (chunk.axes, None, None), 0, chunk.execution)
    held_out = jax.tree.map(jnp.asarray, held_out)

    def body(number: jax.Array, carry: tuple[LaneState, jax.Array]) -> tuple[LaneState, jax.Array]:
        state, _ = carry
        state = _changed(state, number)
        return state, lanes(state, held_out, jnp.asarray(mask))

    return _rounds(body), (chunk.state, jnp.zeros(chunk.state.alive.shape))


def evaluation_in_parts(chunk: TimedChunk) -> Loop:
    """The same where an evaluation goes through all rows as it goes through a part of them."""
    held_out, _ = in_blocks(chunk.study.workload.eval_data, EVAL_BLOCK)
    lanes = over_lanes(chunk.lane.evaluate_part, (chunk.axes, None, None, None, None), 0, chunk.execution)
    held_out = jax.tree.map(jnp.asarray, held_out)
    order = jnp.asarray(shuffled(num_examples(chunk.study.workload.eval_data)))

    def body(number: jax.Array, carry: tuple[LaneState, jax.Array]) -> tuple[LaneState, jax.Array]:
        state, _ = carry
        state = _changed(state, number)
        return state, lanes(state, held_out, order, jnp.int32(0), jnp.int32(len(order)))

    return _rounds(body), (chunk.state, jnp.zeros(chunk.state.alive.shape))


def _changed(state: LaneState, number: jax.Array) -> LaneState:
    """One number of every parameter changes in place, so that no layer's product can be moved out of a loop."""
    change = lambda leaf: leaf.at[(0,) * leaf.ndim].set(1e-9 * number.astype(leaf.dtype))
    return state._replace(params=jax.tree.map(change, state.params))


def batched_products(chunk: TimedChunk) -> Loop:
    """Nothing but the products of matrices of the gradient, batched over the lanes."""
    return product_loop(gradient_products(chunk))


def micro_batch_products(chunk: TimedChunk) -> Loop:
    """The same with as many examples at once as the engine takes: fewer may stay in the caches."""
    return product_loop(gradient_products(chunk, min(chunk.batch_size, chunk.micro_batch.examples)))


def separate_products(chunk: TimedChunk) -> Loop:
    """The same of one lane, as often as there are lanes: operands stay in the cache, so nothing can be
    faster unless it shares work between lanes."""
    width = len(chunk.state.alive)
    one = chunk.state._replace(params=jax.tree.map(lambda leaf: leaf[:1], chunk.state.params))
    found = gradient_products(chunk._replace(state=one))
    return product_loop([product._replace(count=product.count * width) for product in found])


def gradient_products(chunk: TimedChunk, rows: int | None = None) -> list[Product]:
    """Of the network forward and backward in every lane, on `rows` examples at once, or as many as the workload allows.

    Rows that the engine computes beyond the examples of a batch do not count.
    """
    workload, size = chunk.study.workload, chunk.batch_size
    rows = rows or min(size, workload.micro_batch, workload.group)
    batch = jax.tree.map(lambda leaf: jnp.zeros((rows, *leaf.shape[1:]), leaf.dtype), workload.train_data)
    loss = lambda params, key: workload.loss(params, batch, key).sum()
    lanes = jax.vmap(jax.grad(loss), in_axes=(0, None))
    found = products(lanes, chunk.state.params, jax.random.key(0))
    return [product._replace(count=product.count * -(-size // rows)) for product in found]


def _rounds(body: Callable[[jax.Array, Any], Any]) -> Callable[[jax.Array, Any], Any]:
    return lambda num, state: jax.lax.fori_loop(0, num, body, state)
