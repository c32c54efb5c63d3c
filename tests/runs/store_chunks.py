"""Chunks, and results that depend on nothing but their chunk, for the tests of the store."""

from __future__ import annotations

import jax
import numpy as np

from lr_batch.chunk import Chunk, ChunkResult, Lanes

IDENTITY = {"workload": "toy", "data": "0f", "goal": ["loss", 0.2], "width": 4}


def make_chunk(batch_size=8, seed=0, rates=(0.1, 0.2, 0.4, 0.8)) -> Chunk:
    return Chunk(IDENTITY, batch_size, seed, tuple({"learning_rate": rate} for rate in rates))


def make_result(chunk: Chunk, salt: int = 0) -> ChunkResult:
    """Numbers that depend on nothing but the chunk and `salt`: lane 0 diverges, the last one reaches."""
    lanes = len(chunk.settings)
    rng = np.random.default_rng([chunk.batch_size, chunk.seed, salt])
    values = rng.random((6, lanes), np.float32)
    values[2:, 0] = np.nan
    steps_to_goal = np.full(lanes, np.nan)
    steps_to_goal[-1] = 10 + rng.random()
    status = ("diverged", *["budget"] * (lanes - 2), "reached")
    steps = np.full(lanes, 32)
    eval_steps = np.array([1, 2, 4, 8, 16, 32])
    return ChunkResult(
        steps_to_goal, steps, status, eval_steps, values, lanes, "cpu", "float32", 1.5, ("halved",)
    )


def assert_same(found: ChunkResult, expected: ChunkResult) -> None:
    assert isinstance(found, ChunkResult)
    for name, one, other in zip(ChunkResult._fields, found, expected, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def assert_leaves(lanes: Lanes, step: int, carry) -> None:
    assert lanes.step == step
    expected = [np.asarray(leaf) for leaf in jax.tree.leaves(carry)]
    assert [(leaf.dtype, leaf.shape) for leaf in lanes.carry] == [(e.dtype, e.shape) for e in expected]
    assert all(leaf.tobytes() == e.tobytes() for leaf, e in zip(lanes.carry, expected, strict=True))
