"""Runs one chunk on its place, in slices, so that it can report and be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Int

from lr_batch.engine.chunk import Checkpoint, Chunk, ChunkResult, ChunkStore
from lr_batch.engine.chunk_status import ChunkStatus
from lr_batch.engine.feed import Feed
from lr_batch.engine.place import Place, devices_of, kind_of
from lr_batch.engine.processes import agreed, on_host
from lr_batch.engine.programs import ADVANCE, START, Engine
from lr_batch.lanes.race import Carry, Terms
from lr_batch.problem.workload import PyTree
from lr_batch.result import BUDGET, DIVERGED, REACHED

SLICE_SECONDS = 2.0  # how long the program runs before it reports
FIRST_STEPS = 4  # after which it reports for the first time: a step may take seconds
CHECKPOINT_SECONDS = 60.0  # what a killed run may lose of a chunk


def run_chunk(
    engine: Engine,
    device: Place,
    chunk: Chunk,
    terms: Terms,
    *,
    first: float = np.inf,
    store: ChunkStore | None = None,
    on_slice: Callable[[ChunkStatus], None] = lambda status: None,
    is_late: Callable[[], bool] = lambda: False,
) -> ChunkResult | None:
    """Trains the lanes of `chunk` to the end of their race and returns their rows; None where it stopped before.

    Args:
      engine: of the chunk's workload, optimizer and width.
      device: to run on, or a mesh of several.
      chunk: the plan; no more settings than the engine's width.
      terms: see `Terms`; `terms.hparams` are padded to the width.
      first: best known steps to goal at this batch size and seed; the race is against it too.
      store: keeps the lanes of a long chunk, from which it goes on after an interruption.
      on_slice: called about every two seconds.
      is_late: asked as often; where it says so, the lanes are stored as they are, and the chunk is not finished.
    """
    valid = np.arange(engine.width) < len(chunk.settings)
    known = agreed(lambda: store.load(chunk) if store is not None else None)
    if isinstance(known, ChunkResult):
        return known
    for program in (ADVANCE, START):  # no time of a slice or of the chunk has a compilation in it
        engine.prepare(device, program)
    began = saved = time.monotonic()
    carry = engine.start(device, terms, chunk.seed, valid, first)
    if isinstance(known, Checkpoint):
        carry = restored(known, carry) or carry
    seconds_per_step = None
    with engine.feed(device, carry, terms) as feed:
        while bool(carry.running):
            done = int(carry.evals), int(carry.draw.step)
            stop = agreed(lambda: next_stop(terms.cadence, *done, seconds_per_step))
            carry, seconds_per_step = _timed_slice(feed, carry, stop)
            status = ChunkStatus.of(
                _shown(carry), terms, len(chunk.settings), engine.metric, seconds_per_step
            )
            waited = feed.waited if engine.streamed else None
            on_slice(status._replace(seconds=time.monotonic() - began, waited=waited))
            if not bool(carry.running):
                break
            late, due = agreed(
                lambda: (is_late(), store is not None and time.monotonic() - saved > CHECKPOINT_SECONDS)
            )
            if late or due:
                kept = Checkpoint(int(carry.draw.step), on_host(carry))
                saved = time.monotonic()
                if store is not None:
                    store.save(chunk, kept)
            if late:
                return None
    return rows(on_host(carry), chunk, terms, engine.width, device, time.monotonic() - began)


def _shown(carry: Carry) -> Carry:
    """With what is told of a chunk on the host; parameters and optimizer state stay where they are."""
    told = ("steps_to_goal", "values", "value", "average")
    lanes = carry.lanes._replace(alive=on_host(carry.lanes.alive))
    return carry._replace(lanes=lanes, **{name: on_host(getattr(carry, name)) for name in told})


def restored(kept: Checkpoint, fresh: Carry) -> Carry | None:
    """Kept lanes, as the chunk that `fresh` begins; None where they are of another version."""
    if shapes(kept.carry) != shapes(fresh):
        return None
    return jax.tree.unflatten(jax.tree.structure(fresh), jax.tree.leaves(kept.carry))


def shapes(tree: PyTree) -> list[tuple[int, ...]]:
    return [np.shape(leaf) for leaf in jax.tree.leaves(tree)]


def next_stop(
    cadence: Int[np.ndarray, " evals"], evals: int, step: int, seconds_per_step: float | None
) -> int:
    """Number of the evaluation to stop at: about twice the steps so far, or as many as fit into a slice."""
    target = 2 * step + FIRST_STEPS
    if seconds_per_step:
        target = min(target, step + int(SLICE_SECONDS / seconds_per_step))
    return max(evals + 1, int(np.searchsorted(cadence, target)))


def _timed_slice(feed: Feed, carry: Carry, stop: int) -> tuple[Carry, float | None]:
    """The slice and its seconds per step, None where it trained nothing."""
    step, began = int(carry.draw.step), time.monotonic()
    carry = jax.block_until_ready(feed.advance(carry, stop))
    steps = int(carry.draw.step) - step
    return carry, (time.monotonic() - began) / steps if steps else None


def rows(carry: Carry, chunk: Chunk, terms: Terms, width: int, device: Place, seconds: float) -> ChunkResult:
    """The outcome of a finished chunk, without the lanes that only filled the width."""
    lanes, evals, step = len(chunk.settings), int(carry.evals), int(carry.draw.step)
    steps_to_goal = np.asarray(carry.steps_to_goal[:lanes], np.float64)
    alive = np.asarray(carry.lanes.alive[:lanes])
    stopped = alive | np.asarray(carry.let_go[:lanes])
    status = np.where(np.isfinite(steps_to_goal), REACHED, np.where(stopped, BUDGET, DIVERGED))
    return ChunkResult(
        steps_to_goal=steps_to_goal,
        steps=np.where(alive, step, carry.lanes.last_step[:lanes]).astype(np.int64),
        status=tuple(status.tolist()),
        eval_steps=np.asarray(terms.cadence[:evals]),
        values=np.asarray(carry.values[:evals, :lanes], np.float32),
        width=width,
        device=kind_of(device),
        precision=products_precision(devices_of(device)[0]),
        seconds=seconds,
    )


def products_precision(device: jax.Device) -> str:
    """Of products of float32 matrices: what JAX is told; else float32 on a CPU, and "default" where the device chooses
    (NVIDIA's take TF32)."""
    asked = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    return str(asked or ("float32" if device.platform == "cpu" else "default"))
