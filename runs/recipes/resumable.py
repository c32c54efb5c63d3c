"""What recipes share that train several studies: a folder for each, a time limit for all, and a clean stop."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lr_batch import Result, Study
from runs.cache import use_compilation_cache
from runs.compare.run import NO_TIME
from runs.curve.run import run_in_folder
from runs.interrupts import INTERRUPTED, interruptible
from runs.parse import seconds

LATE = "time limit"  # how the engine's event begins that tells what is missing


class Limit:
    """The seconds that are left of a run; unlimited where None are given."""

    def __init__(self, given: float | None = None) -> None:
        self._end = None if given is None else time.monotonic() + given

    @property
    def left(self) -> float | None:
        return None if self._end is None else max(self._end - time.monotonic(), NO_TIME)

    @property
    def passed(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end


class Trained(NamedTuple):
    """The results of all studies that have trials; a line for each that is not whole."""

    results: dict[str, Result]
    unfinished: tuple[str, ...]


def train(studies: Mapping[str, Study], folder: Path, limit: Limit) -> Trained:
    """Trains what is missing of each study in a folder of its name, one after the other."""
    results, unfinished = {}, []
    for name, study in studies.items():
        if limit.passed:
            unfinished.append(f"{name}: {LATE}: not looked at")
            continue
        print(f"{name}: {study.num_trials:,} trials", file=sys.stderr, flush=True)
        _, result = run_in_folder(study, folder / name, time_limit=limit.left)
        unfinished += [f"{name}: {event}" for event in result.engine.events if event.startswith(LATE)]
        if result.num_trials:
            results[name] = result
    return Trained(results, tuple(unfinished))


def parser_of(recipe: str, about: str) -> argparse.ArgumentParser:
    """Options that all of these recipes have."""
    parser = argparse.ArgumentParser(prog=f"python -m runs.recipes.{recipe}", description=about)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of studies and answers"
    )
    parser.add_argument("--quick", action="store_true", help="the short form, for tests")
    parser.add_argument(
        "--time-limit",
        type=lambda text: seconds("--time-limit", text),
        metavar="TIME",
        help="such as 400s or 1h30m: what is finished by then is kept, and the same command goes on",
    )
    return parser


def run_recipe(main: Callable[[Sequence[str]], object]) -> int:
    """Runs `main` on the words of the command line; Ctrl-C and SIGTERM finish the chunks in flight and stop."""
    try:
        with interruptible():
            use_compilation_cache()
            main(sys.argv[1:])
    except KeyboardInterrupt:
        print("stopped: all that is finished is kept, the same command goes on", file=sys.stderr)
        return INTERRUPTED
    return 0
