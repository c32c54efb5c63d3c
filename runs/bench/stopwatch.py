"""Seconds of a round of a compiled loop, with all workers busy as they are in a sweep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.workers import worker_devices


def seconds_per_round(
    loop: Callable[[jax.Array, Any], Any], start: Any, seconds: float, repeats: int = 3
) -> float:
    """Median over `repeats` of the time that each worker needs for one round while the others do the same.

    Args:
      loop: `(num, state) -> state`, doing `num` rounds in one program; `num` is traced.
      start: state before the first round.
      seconds: about how long each repeat takes.
    """
    program = jax.jit(loop)
    workers = worker_devices()
    states = [jax.device_put(start, device) for device in workers]
    together = lambda num: _together(program, num, states)  # noqa: E731
    together(1)  # compiles
    num = 1
    while (took := together(num)) < seconds / 8 and num < 2**28:
        num = max(2 * num, min(64 * num, int(num * seconds / 4 / max(took, 1e-6))))
    num = max(1, round(num * seconds / took))
    return float(np.median([together(num) for _ in range(repeats)])) / num


def _together(program: Callable, num: int, states: Sequence[Any]) -> float:
    """Mean over the workers of the seconds that `num` rounds take."""
    took, gate = [0.0] * len(states), threading.Barrier(len(states))

    def work(i):
        gate.wait()
        began = time.perf_counter()
        jax.block_until_ready(program(jnp.int32(num), states[i]))
        took[i] = time.perf_counter() - began

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(states))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return float(np.mean(took))
