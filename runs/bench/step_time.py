"""Seconds of a step in the engine's own program."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax
import numpy as np

from lr_batch import Study
from lr_batch.engine import Engine, Terms, terms_of, worker_devices
from runs.bench.stopwatch import last_of, whole_periods

EVALS = 2  # before the first step and after the last


class StepTime(NamedTuple):
    """Per chunk step, and per call of the program; in seconds."""

    step: float
    dispatch: float


class StepTimer:
    """Times the compiled chunk of an engine at any batch size while `workers` of them run at once; a program is
    compiled once for all batch sizes that share it."""

    def __init__(self, study: Study, width: int, execution: str, workers: int | None = None):
        self.study, self.width, self.devices = study, width, worker_devices(workers)
        self.engine = Engine.of(study, width, execution, max_evals=EVALS)

    def time(self, batch_size: int, seconds: float, repeats: int = 3) -> StepTime:
        """From the difference of a long run and one of half its steps, so that what is paid once cancels: evaluations
        above all, which may take as long as a hundred steps."""
        num = 1
        self._together(batch_size, 1)  # compiles
        once = self._together(batch_size, 0)
        while (took := self._together(batch_size, num) - once) < seconds / 2:
            num = max(2 * num, min(32 * num, int(num * seconds / max(took, 1e-6))))
        num = whole_periods(num)
        pairs = [
            (self._together(batch_size, 2 * num), self._together(batch_size, num)) for _ in range(repeats)
        ]
        difference = float(np.median([long - short for long, short in pairs]))
        whole = float(np.median([long for long, _ in pairs])) / 2  # where noise is larger than the steps
        return StepTime((difference if difference > 0 else whole) / num, self._dispatch(batch_size))

    def _together(self, batch_size: int, steps: int) -> float:
        """Seconds until every worker has done `steps` steps."""
        begun = [(device, *self._begin(device, batch_size, steps)) for device in self.devices]
        return last_of([lambda chunk=chunk: self.engine.advance(*chunk, EVALS) for chunk in begun])

    def _begin(self, device: Any, batch_size: int, steps: int) -> tuple[Any, Terms]:
        settings = (self.study.settings * self.width)[: self.width]
        terms = terms_of(settings, self.width, batch_size=batch_size, cadence=np.array([0, steps], np.int32))
        valid = np.ones(self.width, bool)
        return jax.block_until_ready(self.engine.start(device, terms, 0, valid, np.inf)), terms

    def _dispatch(self, batch_size: int, calls: int = 20) -> float:
        """Of a call that has nothing to do: `stop` is behind it."""
        device = self.devices[0]
        carry, terms = self._begin(device, batch_size, 1)
        began = time.perf_counter()
        for _ in range(calls):
            carry = jax.block_until_ready(self.engine.advance(device, carry, terms, 0))
        return (time.perf_counter() - began) / calls
