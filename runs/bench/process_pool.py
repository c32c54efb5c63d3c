"""A pool of the idiomatic loop: one process per core, each with its share of the trials and single-threaded
kernels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from runs.bench.child import Message, plain_environment, run_child

SINGLE_THREADED = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def pool_environment() -> dict[str, str]:
    """One thread for each process; on a GPU, which the processes share, no memory is taken before it is
    needed."""
    environment = plain_environment()
    flags = f"{environment['XLA_FLAGS']} {SINGLE_THREADED}".strip()
    return environment | {"XLA_FLAGS": flags, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def run_pool(request: Mapping[str, Any], timeout: float, processes: int | None = None) -> list[list[Message]]:
    """The messages of each process; trials are dealt out in turn, so that each has some of every batch
    size."""
    count = processes or os.cpu_count() or 1
    shares = [{**request, "plans": share} for share in dealt(request["plans"], count)]
    with ThreadPoolExecutor(count) as threads:
        run = lambda share: run_child("runs.bench.serial_loop", share, pool_environment(), timeout)
        return list(threads.map(run, shares))


def dealt(plans: Sequence[Mapping[str, Any]], count: int) -> list[list[Mapping[str, Any]]]:
    return [list(plans[i::count]) for i in range(count)]
