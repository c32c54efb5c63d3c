"""Whether a hyperparameter reaches what is evaluated, told by what is traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lr_batch.lanes.lane import Draw, make_lane
from lr_batch.problem.depends import batched_leaves
from lr_batch.problem.workload import PyTree, num_examples
from lr_batch.study import Study

NUMBER = jax.ShapeDtypeStruct((), jnp.float32)
ROUNDS = 4  # of a step, until what depends on a hyperparameter stays the same


def reaches(init: Callable, step: Callable, outcome: Callable, two: Any, rest: Any, params: PyTree) -> bool:
    """Whether the outcome differs between lanes that differ in one number alone."""
    state = jax.eval_shape(lambda number, rest, params: init(number, rest, params), NUMBER, rest, params)
    differs = batched_leaves(init, (0, None, None), (two, rest, params))
    for _ in range(ROUNDS):
        axes = jax.tree.map(lambda d: 0 if d else None, differs)
        stacked = jax.tree.map(
            lambda d, leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype) if d else leaf, differs, state
        )
        if any(jax.tree.leaves(differs)) and any(
            jax.tree.leaves(batched_leaves(outcome, (axes,), (stacked,)))
        ):
            return True
        after = batched_leaves(step, (0, None, axes), (two, rest, stacked))
        merged = jax.tree.map(lambda a, b: a or b, differs, after)
        if merged == differs:
            return False
        differs = merged
    return True


def reaches_lane(study: Study, name: str) -> bool:
    """The same of a regularizer's strength, which may act through the loss."""
    workload = study.workload
    lane = make_lane(workload, study.lane_optimizer, study.goal.metric)
    rest = {other: NUMBER for other in study.space if other != name}
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), workload.train_data)

    def init(value, rest, data):
        del data
        return lane.init({**rest, name: value}, jnp.int32(0), jnp.bool_(True))

    def step(value, rest, state):
        one = jnp.int32(1)
        data = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return lane.step(
            {**rest, name: value}, state, Draw.first(one, num_examples(workload.train_data)), one, data
        )

    two = jax.ShapeDtypeStruct((2,), jnp.float32)
    return reaches(init, step, lane.outcome, two, rest, shapes)
