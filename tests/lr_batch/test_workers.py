"""Programs that run at the same time."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import optim
from lr_batch.engine.workers import Program, cores, pool_threads, run_tasks

TWO_PROGRAMS_WITH_LAPACK = """
from runs.xla_flags import set_xla_flags
set_xla_flags()
import threading, jax, jax.numpy as jnp
from lr_batch.engine.workers import Program

def program(seed):
    x = jax.random.normal(jax.random.key(seed), (8, 48, 48))
    step = lambda _, x: jnp.linalg.eigh(x @ x.mT / 48)[1] + x / 2
    return jax.lax.fori_loop(0, 60, step, x)

run = Program(jax.jit(program).lower(0))
start = threading.Barrier(4)

def work(seed):
    start.wait()
    for _ in range(10):
        jax.block_until_ready(run(seed))

threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def test_programs_with_lapack_calls_do_not_wait_for_each_other():
    """Without turns this hangs: every thread of XLA's pool waits for another one."""
    subprocess.run([sys.executable, "-c", TWO_PROGRAMS_WITH_LAPACK], timeout=120, check=True)


@pytest.mark.parametrize("factory", [optim.shampoo, optim.soap])
def test_lanes_of_matrix_methods_take_no_turns(factory):
    """Their programs hold up no other: every LAPACK call is for one matrix."""
    params = {"a": jnp.ones((3, 2)), "b": jnp.ones((2, 2))}

    def lane(rate, params):
        tx = factory(rate)
        return tx.update(params, tx.init(params), params)

    lanes = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (4, *leaf.shape)), params)
    program = Program(jax.jit(jax.vmap(lane)).lower(jnp.ones(4), lanes))
    assert "lapack_" in program.compiled.as_text() and not program.takes_turns


@pytest.mark.parametrize("decomposed", [jnp.linalg.eigh, jnp.linalg.qr, jnp.linalg.cholesky])
def test_batched_decompositions_take_turns(decomposed):
    program = jax.jit(decomposed).lower(jax.ShapeDtypeStruct((3, 4, 4), jnp.float32))
    assert Program(program).takes_turns


def test_size_of_the_pool_is_what_xla_takes(monkeypatch):
    monkeypatch.setenv("NPROC", "2")
    assert pool_threads() == 2
    monkeypatch.delenv("NPROC")
    assert pool_threads() == cores() >= 1


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


@pytest.mark.wrong_types  # devices that no task looks at
def test_tasks_may_ask_for_more_tasks():
    run = lambda task, device, emit: (emit(task), [task - 1] if task else [])[1]
    assert list(run_tasks([3], run, [None])) == [3, 2, 1, 0]


def test_options_that_the_compiler_does_not_have_are_left_out():
    """One of jaxlib 0.10 is gone in 0.11, where every study ended in a traceback."""
    lowered = jax.jit(lambda x: 2 * x).lower(1.0)
    options = {"xla_no_such_thing": True, "xla_backend_optimization_level": 1, "xla_nor_this": 1}
    assert Program(lowered, options)(3.0) == 6.0


def test_options_with_a_wrong_value_are_not_hidden():
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_backend_optimization_level"):
        Program(jax.jit(lambda x: 2 * x).lower(1.0), {"xla_backend_optimization_level": "much"})
