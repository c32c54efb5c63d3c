"""Chunks whose results depend on nothing but themselves, and stores of them, for the tests of the store."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from lr_batch.engine import Checkpoint, Chunk, ChunkResult, Identity
from runs.store import Store
from runs.store.rows import versions

IDENTITY = Identity(
    workload="toy",
    data="0f",
    optimizer="sgd",
    program="0e",
    goal=("loss", 0.2),
    budget=100,
    slack="2.0",
    evaluation_growth=0.08,
    width=4,
    lanes="vmap",
    jax="0.10.0",
)


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
        *(steps_to_goal, steps, status, eval_steps, values, lanes),
        *("cpu", "float32", 1.5, ("halved",), versions()),
    )


def assert_same(found: ChunkResult, expected: ChunkResult) -> None:
    assert isinstance(found, ChunkResult)
    for name, one, other in zip(ChunkResult._fields, found, expected, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def assert_leaves(lanes: Checkpoint, step: int, carry) -> None:
    assert lanes.step == step
    expected = [np.asarray(leaf) for leaf in jax.tree.leaves(carry)]
    assert [(leaf.dtype, leaf.shape) for leaf in lanes.carry] == [(e.dtype, e.shape) for e in expected]
    assert all(leaf.tobytes() == e.tobytes() for leaf, e in zip(lanes.carry, expected, strict=True))


def filled(folder: Path, chunks: int = 10) -> Path:
    """A closed store with `chunks` chunks; returns its file."""
    with Store(folder, full_sync=False) as store:
        for batch_size in range(1, chunks + 1):
            store.save(make_chunk(batch_size), make_result(make_chunk(batch_size)))
    return folder / "store.sqlite"


def assert_nothing_wrong(store: Store, chunks: int = 10) -> int:
    """Every chunk is right or not done; after running the missing ones again all are right."""
    assert all(trial.batch_size <= chunks for trial in store.trials())
    missing = 0
    for batch_size in range(1, chunks + 1):
        chunk = make_chunk(batch_size)
        found = store.load(chunk)
        missing += found is None
        if found is None:
            store.save(chunk, make_result(chunk))
        assert_same(store.load(chunk), make_result(chunk))
    assert not store.verify()
    assert len(store.trial_rows()) == 4 * chunks
    return missing
