"""The memory of a chunk: as it is reckoned, and as the compiler plans it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import optim
from lr_batch import Study
from lr_batch.engine import EVAL_BLOCK, in_blocks, micro_batch_of
from lr_batch.lane import make_lane
from lr_batch.program import Data, Terms, make_advance, make_start, state_axes
from lr_batch.workload import num_examples


def memory(study: Study, width: int, execution: str) -> dict[str, Any]:
    """Bytes of one chunk of `width` lanes at the largest batch size; shared data are counted apart."""
    micro_batch = micro_batch_of(max(study.batch_sizes), study.workload.micro_batch)
    parts = lane_bytes(study, micro_batch)
    planned, data = planned_bytes(study, width, micro_batch, execution)
    return {
        "width": width,
        "micro_batch": micro_batch,
        "per_lane": parts,
        "reckoned_bytes": width * sum(parts.values()),
        "planned_bytes": planned,
        "data_bytes": data,
    }


def lane_bytes(study: Study, micro_batch: int) -> dict[str, int]:
    """Parameters, gradient, optimizer state, and the activations of one micro-batch that the gradient
    keeps."""
    params = jax.eval_shape(study.workload.init, jax.random.key(0))
    slots = optim.state_bytes(study.lane_optimizer(study.settings[0]), params)
    return {
        "params": slots.weights,
        "gradient": slots.gradient,
        "optimizer": sum(slots.state.values()),
        "activations": micro_batch * activation_bytes(study, params),
    }


def activation_bytes(study: Study, params: Any) -> int:
    """Of one example: by how much what the backward pass keeps grows from one example to two."""
    kept = [_residual_bytes(study, params, rows) for rows in (1, 2)]
    return kept[1] - kept[0]


def _residual_bytes(study: Study, params: Any, rows: int) -> int:
    data = jax.tree.map(
        lambda leaf: jnp.zeros((rows, *leaf.shape[1:]), leaf.dtype), study.workload.train_data
    )
    loss = lambda params, key: study.workload.loss(params, data, key).sum()  # noqa: E731
    backward = lambda params, key: jax.vjp(lambda p: loss(p, key), params)[1]  # noqa: E731
    residuals = jax.eval_shape(backward, params, jax.random.key(0))  # a function is a tree of what it keeps
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(residuals))


def planned_bytes(study: Study, width: int, micro_batch: int, execution: str) -> tuple[int, int]:
    """The compiler's plan for the engine's program: all buffers without the data, and the data."""
    lane = make_lane(study.workload, study.lane_optimizer, study.goal.metric, micro_batch)
    axes = state_axes(lane, tuple(study.space), study.workload.train_data)
    blocks, mask = in_blocks(study.workload.eval_data, EVAL_BLOCK)
    data = jax.eval_shape(lambda: Data(*jax.tree.map(jnp.asarray, (study.workload.train_data, blocks, mask))))
    f32, i32 = jax.ShapeDtypeStruct((), np.float32), jax.ShapeDtypeStruct((), np.int32)
    hparams = dict.fromkeys(study.space, jax.ShapeDtypeStruct((width,), np.float32))
    cadence = jax.ShapeDtypeStruct((1,), np.int32)
    start = make_start(lane, axes, num_examples(study.workload.train_data), max_evals=1)
    carry = jax.eval_shape(start, hparams, i32, jax.ShapeDtypeStruct((width,), np.bool_), f32)
    terms = Terms(hparams, i32, cadence, i32, f32, f32)
    program = (
        jax.jit(make_advance(lane, axes, execution), donate_argnums=0)
        .lower(carry, terms, i32, data)
        .compile()
    )
    plan = program.memory_analysis()
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(data))
    total = (
        plan.argument_size_in_bytes
        + plan.output_size_in_bytes
        + plan.temp_size_in_bytes
        - plan.alias_size_in_bytes
    )
    return total - held, held
