"""One of two processes that train studies together, see `jax.distributed`; prints what came out as JSON.

Its arguments are the port of the first process and its own number.
"""

from __future__ import annotations

import json
import sys

from runs.xla_flags import set_xla_flags

set_xla_flags()

import jax

jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"localhost:{sys.argv[1]}", num_processes=2, process_id=int(sys.argv[2]))

from tiny import tiny_study

import lr_batch
from lr_batch.engine import Checkpoint, chunk_run

HOW = {"batch_sizes": (4, 40), "seeds": 1, "budget": 20, "lanes": "vmap"}
chunk_run.CHECKPOINT_SECONDS = 0.0  # lanes are stored after every slice


class Kept(dict):
    """A store in memory, and the lanes of chunks in training."""

    def __init__(self):
        self.lanes = {}

    def load(self, chunk):
        return self.get(chunk.id)

    def save(self, chunk, outcome):
        kept = self.lanes if isinstance(outcome, Checkpoint) else self
        kept[chunk.id] = outcome


def values(mesh: str | None, store: Kept | None) -> list:
    result = lr_batch.run(tiny_study(mesh=mesh, **HOW), store)
    return [curve.values.tolist() for curve in result.curves]


def found() -> dict:
    store = Kept() if jax.process_index() == 0 else None  # the other asks the first one
    examples, lanes = values("data=2", store), values("lane=2", store)
    finished = None if store is None else len(store)
    again = values("lane=2", store) == lanes
    if store is not None:
        store.clear()
        store.update(store.lanes)
    resumed = values("lane=2", store) == lanes
    try:
        refused = values(None, store) and ""
    except lr_batch.StudyError as error:
        refused = str(error)
    return {
        "examples": examples,
        "lanes": lanes,
        "finished": finished,
        "again": again,
        "resumed": resumed,
        "refused": refused,
    }


if __name__ == "__main__":
    print(json.dumps(found()))
