"""Programs that run at the same time."""

import subprocess
import sys

import pytest

from lr_batch.workers import run_tasks, safe_workers, worker_devices

TWO_PROGRAMS_WITH_LAPACK = """
from runs.xla_flags import set_xla_flags
set_xla_flags()
import threading, jax, jax.numpy as jnp

def program(seed):
    x = jax.random.normal(jax.random.key(seed), (8, 48, 48))
    step = lambda _, x: jnp.linalg.eigh(x @ x.mT / 48)[1] + x / 2
    return jax.lax.fori_loop(0, 60, step, x)

run = jax.jit(program)
run(0).block_until_ready()
threads = [threading.Thread(target=lambda s=s: run(s).block_until_ready()) for s in (1, 2)]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def test_two_programs_with_lapack_calls_do_not_wait_for_each_other():
    """Without the larger pool of `runs.xla_flags` this hangs."""
    subprocess.run([sys.executable, "-c", TWO_PROGRAMS_WITH_LAPACK], timeout=120, check=True)


def test_one_worker_where_the_pool_may_be_too_small(monkeypatch):
    monkeypatch.setenv("NPROC", "8")
    assert safe_workers(2) == 2
    monkeypatch.setenv("NPROC", "2")
    assert safe_workers(2) == 1
    monkeypatch.delenv("NPROC")
    assert safe_workers(2) == 1 and len(worker_devices()) == 1


def test_error_in_a_task_reaches_the_caller_after_those_in_flight():
    finished = []

    def run(task, device, emit):
        if task == "bad":
            raise RuntimeError("bad task")
        finished.append(task)
        return []

    with pytest.raises(RuntimeError, match="bad task"):
        list(run_tasks(["good", "bad", "never"], run, [None]))
    assert finished == ["good"]


def test_tasks_may_ask_for_more_tasks():
    run = lambda task, device, emit: (emit(task), [task - 1] if task else [])[1]  # noqa: E731
    assert list(run_tasks([3], run, [None])) == [3, 2, 1, 0]
