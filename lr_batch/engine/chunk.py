"""The unit of work: trials that share a batch size and a seed and advance in lock-step.

`Chunk` is the plan, `Checkpoint` what is alive while it runs, `ChunkResult` what it
leaves behind. A store keeps the last two under the chunk's identity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from lr_batch.engine.identity import Identity
from lr_batch.result import Curve, Trial


def fingerprint(description: Any) -> str:
    """16 hex digits that identify a JSON-like description, however its keys are ordered."""
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Chunk(NamedTuple):
    """`settings[i]` are the hyperparameters of lane i; `identity` is all that decides a trial's numbers beside batch
    size, seed and setting."""

    identity: Identity
    batch_size: int
    seed: int
    settings: tuple[Mapping[str, float], ...]

    @property
    def id(self) -> str:
        settings = [dict(setting) for setting in self.settings]
        return fingerprint([self.identity.described(), self.batch_size, self.seed, settings])

    def trial_hash(self, lane: int) -> str:
        """Identity of one trial without its seed."""
        return fingerprint([self.identity.described(), self.batch_size, dict(self.settings[lane])])


class Checkpoint(NamedTuple):
    """A chunk in flight after `step` steps: `carry` is the engine's whole state, a tree of arrays."""

    step: int
    carry: Any


class ChunkResult(NamedTuple):
    """Rows of one finished chunk, one per lane, in the order of `Chunk.settings`.

    `values[e, i]` is the held-out goal metric of lane i after `eval_steps[e]`
    steps, NaN where the lane was no longer trained. `steps_to_goal` is NaN where
    the goal was not reached; `steps` is how long the lane was trained. `versions` are of the packages that trained
    them, as the store writes them; "" where it was this process.
    """

    steps_to_goal: Float[np.ndarray, " lanes"]
    steps: Int[np.ndarray, " lanes"]
    status: tuple[str, ...]
    eval_steps: Int[np.ndarray, " evals"]
    values: Float[np.ndarray, "evals lanes"]
    width: int
    device: str
    precision: str
    seconds: float
    events: tuple[str, ...] = ()
    versions: str = ""

    def trials(self, chunk: Chunk) -> Iterator[Trial]:
        """The trials of `chunk`, whose rows these are, in the order of its settings."""
        for lane, setting in enumerate(chunk.settings):
            steps_to_goal = float(self.steps_to_goal[lane])
            yield Trial(
                batch_size=chunk.batch_size,
                seed=chunk.seed,
                hparams=setting,
                steps_to_goal=None if np.isnan(steps_to_goal) else steps_to_goal,
                status=self.status[lane],
                curve=Curve.while_alive(self.eval_steps, self.values[:, lane]),
                steps=int(self.steps[lane]),
            )


@runtime_checkable
class ChunkStore(Protocol):
    """The two methods that `lr_batch.run` needs of a store."""

    def load(self, chunk: Chunk) -> ChunkResult | Checkpoint | None:
        """What is known of `chunk`: its rows if finished, its lanes if interrupted, or None."""

    def save(self, chunk: Chunk, outcome: ChunkResult | Checkpoint) -> None:
        """Returns when `outcome` would survive a crash. Saving rows discards the chunk's lanes."""
