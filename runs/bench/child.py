"""Peers as child processes that report in lines of JSON, stamped with the time of their arrival."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import runs
from lr_batch import StudyError
from runs.xla_flags import FLAGS, ONE_THREAD


class ChildFailed(StudyError):
    """A peer did not answer; the message says why in one line."""


class Message(NamedTuple):
    """What a child reported, `at` seconds after it was started."""

    at: float
    body: Mapping[str, Any]


def serve(main: Callable[[Mapping[str, Any], Callable[..., None]], None]) -> None:
    """In the child: reads the request from stdin and gives `main` it and a function that reports fields."""
    report = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is not a report

    def emit(**body: Any) -> None:
        print(json.dumps(body), file=report, flush=True)

    main(json.load(sys.stdin), emit)


def run_child(
    module: str, request: Mapping[str, Any], environment: Mapping[str, str], timeout: float
) -> list[Message]:
    """In the parent: runs `python -m module` to its end and returns what it reported.

    Raises:
      ChildFailed: if it ends with an error, or not within `timeout` seconds.
    """
    with tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(environment),
            text=True,
        )
        timer = threading.Timer(timeout, child.kill)
        try:
            timer.start()
            assert child.stdin and child.stdout  # both are pipes
            child.stdin.write(json.dumps(request))
            child.stdin.close()
            messages = [Message(time.monotonic() - began, json.loads(line)) for line in child.stdout]
            code = child.wait()
        finally:
            timer.cancel()
            child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()
        if code:
            errors.seek(0)
            raise ChildFailed(why(module, code, errors.read(), time.monotonic() - began >= timeout, timeout))
    return messages


def why(module: str, code: int, errors: str, late: bool, timeout: float) -> str:
    lines = errors.strip().splitlines()
    reason = (
        f"no answer within {timeout:.0f} s" if late else f"ended with {code}: {lines[-1] if lines else ''}"
    )
    return f"{module}: {reason}"


def plain_environment() -> dict[str, str]:
    """Of a user who has set nothing: without our flags of XLA and OpenBLAS and without a compilation cache."""
    names = {flag.partition("=")[0] for flag in FLAGS}
    given = os.environ.get("XLA_FLAGS", "").split()
    path = [str(Path(runs.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    ours = ("JAX_COMPILATION_CACHE_DIR", ONE_THREAD[0])
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {
        "XLA_FLAGS": " ".join(flag for flag in given if flag.partition("=")[0] not in names),
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
    }


def sweep_environment(cache: str | os.PathLike[str]) -> dict[str, str]:
    """With the flags of our entry points, and `cache` as the user's cache folder."""
    environment = plain_environment()
    return environment | {
        "XLA_FLAGS": " ".join([*environment["XLA_FLAGS"].split(), *FLAGS]),
        "XDG_CACHE_HOME": str(cache),
        **dict([ONE_THREAD]),
    }
