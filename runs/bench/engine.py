"""The engine: the whole study, cold with its store and then compiled; or a sample of it without racing.

    python -m runs.bench.engine < request.json

The request's "mode": "whole" runs the study and then `repeats` times more, compiled; "unraced" runs its
first seed at some of its rates to the end of their budget.
"""

from __future__ import annotations

import dataclasses
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import lr_batch
from lr_batch import Result, Study
from lr_batch.engine import Checkpoint, Chunk, ChunkResult
from runs.bench.child import serve
from runs.bench.work import Work
from runs.cache import use_compilation_cache
from runs.store import Store

T = TypeVar("T")


class TimedStore:
    """A store that adds up the seconds spent in it, of all threads, and those of finished chunks by batch size."""

    def __init__(self, store: Store):
        self.store, self.seconds = store, 0.0
        self.chunk_seconds: defaultdict[int, float] = defaultdict(float)

    def load(self, chunk: Chunk) -> ChunkResult | Checkpoint | None:
        return self._timed(self.store.load, chunk)

    def save(self, chunk: Chunk, outcome: ChunkResult | Checkpoint) -> None:
        if isinstance(outcome, ChunkResult):
            self.chunk_seconds[chunk.batch_size] += outcome.seconds
        self._timed(self.store.save, chunk, outcome)

    def _timed(self, method: Callable[..., T], *args: Any) -> T:
        began = time.perf_counter()
        try:
            return method(*args)
        finally:
            self.seconds += time.perf_counter() - began


def whole(study: Study, emit: Callable[..., None], repeats: int) -> None:
    """The study as `lr-batch curve` runs it before it draws, then `repeats` times compiled and without a
    store."""
    with tempfile.TemporaryDirectory() as folder, Store(folder) as store:
        timed, programs = TimedStore(store), lr_batch.Programs()
        result = lr_batch.run(study, timed, programs=programs)
        seconds = {"store_seconds": timed.seconds, "chunk_seconds": dict(timed.chunk_seconds)}
        emit(cold=described(result) | seconds)
    for _ in range(repeats):
        emit(warm=lr_batch.run(study, programs=programs).engine.seconds)


def described(result: Result) -> dict[str, Any]:
    """The result's trials as columns, and the engine's own account of the run."""
    return {
        "trials": {
            "batch_size": result.batch_size.tolist(),
            "seed": result.seed.tolist(),
            "hparams": {name: column.tolist() for name, column in result.hparams.items()},
            "steps_to_goal": [None if value != value else value for value in result.steps_to_goal.tolist()],
            "steps": result.steps.tolist(),
            "status": result.status.tolist(),
        },
        "engine": result.engine._asdict(),
    }


def unraced(study: Study, rates: list[float]) -> dict[str, Any]:
    """The first seed at some learning rates, each trained until its goal, divergence, or the end of the
    budget."""
    space = {**study.space, "learning_rate": rates}
    return described(lr_batch.run(dataclasses.replace(study, space=space, seeds=1, slack=float("inf"))))


def main(request: Mapping[str, Any], emit: Callable[..., None]) -> None:
    use_compilation_cache()  # as `lr-batch` does
    study = Work(**request["work"]).study()
    emit(ready=True)
    if request["mode"] == "unraced":
        emit(unraced=unraced(study, request["rates"]))
        return
    whole(study, emit, request.get("repeats", 0))
    emit(peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    serve(main)
