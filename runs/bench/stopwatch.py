"""Seconds of a round of a compiled loop, with all workers busy as they are in a sweep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.engine import Program, worker_devices

REFRESH_PERIOD = 10  # steps from one refresh of their matrices to the next, in Shampoo and SOAP as registered


def seconds_per_round(
    loop: Callable[[jax.Array, Any], Any], start: Any, seconds: float, repeats: int = 3
) -> float:
    """Median over `repeats` of the time that a worker needs for one round while the others do the same.

    Args:
      loop: `(num, state) -> state`, doing `num` rounds in one program; `num` is traced.
      start: state before the first round.
      seconds: about how long each repeat takes.
    """
    workers = worker_devices()
    starts = {device: jax.device_put(start, device) for device in workers}
    programs = {device: Program(jax.jit(loop).lower(jnp.int32(1), state)) for device, state in starts.items()}
    together = lambda num: _together([(programs[device], starts[device]) for device in workers], num)
    together(1)  # what is paid once
    num = 1
    while (took := together(num)) < seconds / 8 and num < 2**28:
        num = max(2 * num, min(64 * num, int(num * seconds / 4 / max(took, 1e-6))))
    num = whole_periods(num * seconds / took)
    return float(np.median([together(num) for _ in range(repeats)])) / num


def _together(work: Sequence[tuple[Program, Any]], num: int) -> float:
    """Seconds until every worker has done `num` rounds."""
    return last_of([lambda item=item: item[0](np.int32(num), item[1]) for item in work])


def last_of(calls: Sequence[Callable[[], Any]]) -> float:
    """Seconds that the last of several calls takes when all begin at once, each in its thread."""
    took, gate = [0.0] * len(calls), threading.Barrier(len(calls))

    def run(i: int, call: Callable[[], Any]) -> None:
        gate.wait()
        began = time.perf_counter()
        jax.block_until_ready(call())
        took[i] = time.perf_counter() - began

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(took)


def whole_periods(rounds: float) -> int:
    """The nearest number of rounds, at least one period, in which an optimizer refreshes as often as in a long run.

    >>> [whole_periods(rounds) for rounds in (0.1, 13, 38)]
    [10, 10, 40]
    """
    return max(1, round(rounds / REFRESH_PERIOD)) * REFRESH_PERIOD
