"""Seconds of a round of a compiled loop, with all workers busy as they are in a sweep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.workers import Program, worker_devices


def seconds_per_round(
    loop: Callable[[jax.Array, Any], Any], start: Any, seconds: float, repeats: int = 3
) -> float:
    """Median over `repeats` of the time that each worker needs for one round while the others do the same.

    Args:
      loop: `(num, state) -> state`, doing `num` rounds in one program; `num` is traced.
      start: state before the first round.
      seconds: about how long each repeat takes.
    """
    workers = worker_devices()
    starts = {device: jax.device_put(start, device) for device in workers}
    programs = {device: Program(jax.jit(loop).lower(jnp.int32(1), state)) for device, state in starts.items()}
    together = lambda num: _together([(programs[device], starts[device]) for device in workers], num)  # noqa: E731
    together(1)  # what is paid once
    num = 1
    while (took := together(num)) < seconds / 8 and num < 2**28:
        num = max(2 * num, min(64 * num, int(num * seconds / 4 / max(took, 1e-6))))
    num = max(1, round(num * seconds / took))
    return float(np.median([together(num) for _ in range(repeats)])) / num


def _together(work: Sequence[tuple[Program, Any]], num: int) -> float:
    """Mean over the workers of the seconds that `num` rounds take."""
    took, gate = [0.0] * len(work), threading.Barrier(len(work))

    def run(i, program, state):
        gate.wait()
        began = time.perf_counter()
        jax.block_until_ready(program(np.int32(num), state))
        took[i] = time.perf_counter() - began

    threads = [threading.Thread(target=run, args=(i, *item)) for i, item in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return float(np.mean(took))
