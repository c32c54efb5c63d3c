"""Trials in segments: chosen lanes of several chunks go on together in one.

A search with rungs stops its trials at a step, keeps the best and lets them go
on. Lanes are independent of their neighbours, and all that they share (the
place in the data, step counts) is a function of seed and step: so lanes of one
seed and step can be compacted into one chunk, whichever chunks they come from,
and their numbers stay the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Int

from lr_batch.engine.chunk import Chunk, ChunkResult
from lr_batch.engine.chunk_run import rows
from lr_batch.engine.programs import Engine
from lr_batch.lanes.lane import LaneState
from lr_batch.lanes.race import Carry, Terms

Source = tuple[Carry, int]  # a chunk that ended, on the host, and a number of one of its lanes


def gather_lanes(sources: Sequence[Source], axes: LaneState, width: int) -> Carry:
    """The chunk of `width` lanes that goes on from `sources`, lane i from `sources[i]`; its record is empty.

    Args:
      sources: 1 to `width` lanes at the same seed, step and batch size; one may be taken more than once.
      axes: where the lane axis of each leaf of a `LaneState` is, see `lr_batch.lanes.race.state_axes`.
      width: of the new chunk. Lanes beyond the sources repeat the last one and count as diverged.

    Raises:
      ValueError: if there are too many sources, none, or they are not at one seed and step.
    """
    if not 1 <= len(sources) <= width:
        raise ValueError(f"gather_lanes: number of lanes must be in [1, {width}], got {len(sources)}")
    places = sorted({(int(carry.draw.seed), int(carry.draw.step)) for carry, _ in sources})
    if len(places) > 1:
        raise ValueError(f"gather_lanes: lanes must be at one (seed, step), got {places}")
    padded = [*sources, *sources[-1:] * (width - len(sources))]
    numbers = [number for _, number in padded]

    def pick(axis, *leaves):
        if axis is None:
            return leaves[0]
        return np.stack([leaf[i] for leaf, i in zip(leaves, numbers, strict=True)])

    lanes = jax.tree.map(pick, axes, *(carry.lanes for carry, _ in padded), is_leaf=lambda axis: axis is None)
    column = lambda of: np.stack([of(carry)[i] for carry, i in padded])
    lanes = lanes._replace(alive=lanes.alive & (np.arange(width) < len(sources)))
    before = sources[0][0]
    return before._replace(
        lanes=lanes,
        evals=np.zeros_like(before.evals),
        steps_to_goal=np.full(width, np.nan, np.float32),
        values=np.full((len(before.values), width), np.nan, np.float32),
        value=column(lambda carry: carry.value),
        average=column(lambda carry: carry.average),
        first=np.full_like(before.first, np.inf),
        running=np.any(lanes.alive),
        best=np.full_like(before.best, np.inf),
        let_go=np.zeros(width, bool),
    )


def segment_cadence(
    cadence: Int[np.ndarray, " evals"], start: int, stop: int
) -> tuple[Int[np.ndarray, " evals"], int]:
    """Steps at which a segment is evaluated, padded to the length of `cadence`, and how many of them count.

    The evaluation steps of the whole trial after `start` (from 0 on for a fresh trial) and before `stop`, and `stop`
    itself.

    >>> segment_cadence(np.array([0, 1, 2, 4, 8]), 1, 3)
    (array([2, 3, 3, 3, 3], dtype=int32), 2)
    """
    inside = cadence[(cadence < stop) & ((cadence > start) | (start == 0))]
    steps = [*inside.tolist(), stop]
    return np.array(steps + [stop] * (len(cadence) - len(steps)), np.int32), len(steps)


def run_segment(
    engine: Engine, device: jax.Device, chunk: Chunk, terms: Terms, carry: Carry | None = None
) -> tuple[ChunkResult, Carry]:
    """Trains the lanes of `chunk` to the last evaluation of `terms`; their rows, and themselves on the host.

    Args:
      engine: of the chunk's workload, optimizer and width.
      device: to run on.
      chunk: the plan; no more settings than the engine's width.
      terms: `terms.cadence` counts steps from fresh parameters.
      carry: what `gather_lanes` gives; None starts from fresh parameters.
    """
    began = time.monotonic()
    if carry is None:
        carry = engine.start(device, terms, chunk.seed, np.arange(engine.width) < len(chunk.settings), np.inf)
    if bool(carry.running):
        carry = engine.advance(device, carry, terms, int(terms.num_evals))
    on_host: Carry = jax.device_get(carry)
    return rows(on_host, chunk, terms, engine.width, device, time.monotonic() - began), on_host
