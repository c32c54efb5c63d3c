"""The engine: once cold with its store, once more from the compilation cache or compiled, and without racing.

    python -m runs.bench.engine < request.json

The request's "mode": "whole" runs the study cold and then warm (compiled, without a store); "again" runs it once, as a
second start would; "unraced" runs its first seed at some of its rates to the end of their budget.
"""

from __future__ import annotations

import dataclasses
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import lr_batch
from lr_batch import Result, Study
from lr_batch.sweep import _Sweep
from lr_batch.workers import worker_devices
from runs import Store
from runs.bench.child import serve
from runs.bench.work import Work


class TimedStore:
    """A store that adds up the seconds spent in it, of all threads."""

    def __init__(self, store: Store):
        self.store, self.seconds = store, 0.0

    def load(self, chunk):
        return self._timed(self.store.load, chunk)

    def save(self, chunk, outcome):
        return self._timed(self.store.save, chunk, outcome)

    def _timed(self, method, *args):
        began = time.perf_counter()
        try:
            return method(*args)
        finally:
            self.seconds += time.perf_counter() - began


def cold(study: Study) -> dict[str, Any]:
    """What `lr-batch curve` does before it draws."""
    with tempfile.TemporaryDirectory() as folder, Store(folder) as store:
        timed = TimedStore(store)
        result = lr_batch.run(study, store=timed)
        return described(result) | {"store_seconds": timed.seconds}


def warm(study: Study, repeats: int) -> list[float]:
    """Seconds of whole studies whose programs are compiled."""
    silent = lambda progress: None  # noqa: E731
    first = _Sweep(study, None, silent, worker_devices())
    first.run()
    seconds = []
    for _ in range(repeats):
        sweep = _Sweep(study, None, silent, worker_devices())
        sweep.engines = first.engines  # the compiled programs
        seconds.append(sweep.run().engine.seconds)
    return seconds


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
    """The first seed at some learning rates, each trained until its goal, divergence, or the end of the budget."""
    space = {**study.space, "learning_rate": rates}
    return described(lr_batch.run(dataclasses.replace(study, space=space, seeds=1, slack=float("inf"))))


def main(request: Mapping[str, Any], emit: Callable[..., None]) -> None:
    study = Work(**request["work"]).study()
    emit(ready=True)
    if request["mode"] == "unraced":
        emit(unraced=unraced(study, request["rates"]))
        return
    emit(cold=cold(study))
    if request["mode"] == "whole":
        emit(warm=warm(study, request["repeats"]), peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    serve(main)
