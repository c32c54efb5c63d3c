"""Threads that run chunks, one program at a time each."""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import jax

from lr_batch.compiled import compiled


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pool_threads() -> int:
    """Threads of XLA's pool: as many as cores, or what NPROC says."""
    given = os.environ.get("NPROC", "")
    return int(given) if given.isdigit() else cores()


# A program holds a thread of XLA's pool, and a batched LAPACK call within it waits until other threads have done parts of
# the batch: all threads can wait on each other, a deadlock. Hence one is always left over.
# A call for a single matrix waits for nobody.
LAPACK_TURNS = threading.Semaphore(max(1, pool_threads() - 1))
BATCHED_LAPACK = re.compile(r"\[\d+,\d+,[\d,]+\].*custom_call_target=\"lapack_")


class Program:
    """A compiled program that several workers may call at the same time.

    Called like the function that was lowered. One that makes batched LAPACK calls waits for its turn and has ended when
    the call returns; others are only dispatched. `options` are the compiler's, see `compiled`.
    """

    def __init__(self, lowered: jax.stages.Lowered, options: Mapping[str, Any] | None = None):
        self.compiled = compiled(lowered, options or {})
        self.takes_turns = bool(BATCHED_LAPACK.search(self.compiled.as_text() or ""))

    def __call__(self, *args: Any) -> Any:
        with LAPACK_TURNS if self.takes_turns else nullcontext():
            results = self.compiled(*args)
            return jax.block_until_ready(results) if self.takes_turns else results


class Once:
    """A value made by the first thread that asks for it."""

    def __init__(self):
        self._lock, self._made = threading.Lock(), []

    def get(self, make: Callable[[], Any]) -> Any:
        with self._lock:
            if not self._made:
                self._made.append(make())
            return self._made[0]


def worker_devices(workers: int | None = None) -> tuple[jax.Device, ...]:
    """The device of each worker: every accelerator once; a CPU as often as it has cores.

    Programs run outside Python's lock, and a CPU device runs several at the same time: with single-threaded kernels
    (the flags of `runs.xla_flags`) each worker keeps one core busy, without a thread pool between small kernels.
    """
    devices = jax.local_devices()
    if devices[0].platform == "cpu":
        return (devices[0],) * (workers or cores())
    return tuple(devices[: workers or len(devices)])


def run_tasks(
    tasks: Sequence[Any],
    run: Callable[[Any, Any, Callable[[Any], None]], list],
    devices: Sequence[Any],
) -> Iterator[Any]:
    """Yields what `run(task, device, emit)` emits, in the caller's thread, as it comes.

    `run` returns further tasks. When the caller stops (an interrupt, an error in its own code, or `close()`), no task
    is begun any more, those in flight are finished, and then the exception goes on. An error in `run` does the same.
    """
    todo, events, stop = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()
    open_tasks = len(tasks)
    for task in tasks:
        todo.put(task)

    def work(device):
        while (task := todo.get()) is not None and not stop.is_set():
            try:
                events.put(("done", run(task, device, lambda event: events.put(("event", event)))))
            except BaseException as error:
                stop.set()
                events.put(("error", error))

    threads = [threading.Thread(target=work, args=(device,), daemon=True) for device in devices]
    for thread in threads:
        thread.start()
    try:
        while open_tasks:
            kind, value = events.get()
            if kind == "error":
                raise value
            if kind == "event":
                yield value
            else:
                open_tasks += len(value) - 1
                for task in value:
                    todo.put(task)
    finally:
        stop.set()
        for _ in threads:
            todo.put(None)
        for thread in threads:
            thread.join()
