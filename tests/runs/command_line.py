"""The command line in this process, and in children that fork from one which has imported everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runs.__main__ import main

ROOT = Path(__file__).parents[2]
# A linear model on forty rows of noise: trains in no time. What a user may get wrong stands beside it.
MODEL = """
import jax.numpy as jnp
import numpy as np
import optax

import lr_batch

rng = np.random.default_rng(0)
x = rng.normal(size=(60, 5)).astype(np.float32)
y = (x @ rng.normal(size=(5, 3))).argmax(1).astype(np.int32)
model = (lambda key: {"w": jnp.zeros((5, 3))}, lambda params, x: x @ params["w"])
workload = lr_batch.from_arrays(
    model, train=(x[:40], y[:40]), held_out=(x[40:], y[40:]), name="tiny", budget=200,
    loss=optax.softmax_cross_entropy_with_integer_labels, goal=lr_batch.Goal("loss", 0.5),
)
hard = workload._replace(goal=lr_batch.Goal("loss", 1e-6), budget=2000)
scalar = workload._replace(loss=lambda p, b, k: workload.loss(p, b, k).mean())
whole = workload._replace(loss=lambda p, b, k: jnp.ones(len(b["x"]), jnp.int32))
raises = workload._replace(loss=lambda p, b, k: 1 / 0)
numpy_loss = workload._replace(loss=lambda p, b, k: np.asarray(b["x"]).sum(1))
moved = lambda p: jnp.any(p["w"] != 0)
explodes = workload._replace(loss=lambda p, b, k: workload.loss(p, b, k) + jnp.where(moved(p), jnp.nan, 0.0))
seven = 7


def wants(argument):
    return workload


def make(hparams):
    return optax.sgd(hparams["learning_rate"])


def broken(hparams):
    raise RuntimeError("my optimizer is broken\\nand has a long story")


def no_such_name(hparams):
    return optax.sgd(hparams["lr"])


def leaves():
    raise SystemExit(3)


def make_seven():
    return 7


def wide(width):
    raise RuntimeError("too wide\\nand a long story")


def seven_wide(width):
    return 7


def strange(hparams):
    return optax.sgd(0.1)


strange.eval_params = 3
transformation = optax.sgd(0.1)
"""
ORIGIN = """
import json, os, sys, warnings
import orbax.checkpoint, runs.cache, runs.compare.outcome
import runs.curve.figures, runs.curve.report, runs.curve.run, runs.curve.table
from lr_batch.engine import chunk_run
from runs.__main__ import main

warnings.simplefilter("ignore")  # JAX warns about forks; the parent runs none of it
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        chunk_run.CHECKPOINT_SECONDS = job["checkpoint_seconds"]
        os.dup2(os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os.dup2(2, 1)
        runs.curve.figures.FIGURES.clear()  # they take longer than the training
        runs.curve.report.write_report = lambda *args: None
        try:
            code = main(job["arguments"])
        except BaseException:
            import traceback
            traceback.print_exc()
            code = 99
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Children:
    """Starts one command after the other. Importing JAX takes longer than all that they do."""

    def __init__(self, folder: Path):
        self.log = folder / "log"
        environment = {
            "XDG_CACHE_HOME": str(folder / "cache"),
            "JAX_COMPILATION_CACHE_DIR": str(folder / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        self.origin = subprocess.Popen(
            [sys.executable, "-c", ORIGIN],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments: object, checkpoint_seconds: float = 60.0) -> int:
        """Begins a command and returns its process id."""
        self.log.write_text("")
        words = list(map(str, arguments))
        job = {"arguments": words, "log": str(self.log), "checkpoint_seconds": checkpoint_seconds}
        self.origin.stdin.write(json.dumps(job) + "\n")
        self.origin.stdin.flush()
        return int(self.origin.stdout.readline())

    def finish(self) -> int:
        """Waits for the command's end; minus the signal's number where one has ended it."""
        return int(self.origin.stdout.readline())

    def wait_for(self, text: str, seconds: float = 60.0) -> None:
        """Returns once the command has printed `text`."""
        end = time.monotonic() + seconds
        while text not in self.log.read_text():
            assert time.monotonic() < end, f"no {text!r} in {self.log.read_text()!r}"
            time.sleep(0.005)

    def close(self) -> None:
        self.origin.communicate(timeout=60)


@contextmanager
def children(folder: Path) -> Iterator[Children]:
    started = Children(folder)
    try:
        yield started
    finally:
        started.close()


def command(capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    code = main(list(map(str, arguments)))
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return code, *capsys.readouterr()


def shell(line: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", line], cwd=ROOT, capture_output=True, timeout=120, env=os.environ | environment
    )
