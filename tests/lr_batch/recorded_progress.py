"""What the tally of a real study was told and when, kept as JSON, and told to another tally again.

`PYTHONPATH=. python tests/lr_batch/recorded_progress.py [NAME ...]` records `STUDIES` anew, with one worker, in a minute.
The clock is that of the process: what else the machine does is not in it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import lr_batch
from lr_batch import sweep
from lr_batch.engine import chunk_run
from lr_batch.engine.chunk import Chunk, ChunkResult
from lr_batch.engine.chunk_plan import ChunkPlan
from lr_batch.engine.chunk_status import ChunkStatus
from lr_batch.engine.identity import Identity
from lr_batch.engine.place import places
from lr_batch.engine.placement import streamed
from lr_batch.engine.programs import ADVANCE, START, Programs
from lr_batch.engine.step_cost import rows_worth_a_step
from lr_batch.engine.task_run import engine_of
from lr_batch.problem.workload import Goal
from lr_batch.tally import Tally

FOLDER = Path(__file__).parent / "recorded"
GOAL = Goal("loss", 0.0)  # no matter: numbers of steps are recorded
# Where a network is large, small batches take longest; streamed; and a grid that grows at both ends
STUDIES: dict[str, dict[str, Any]] = {
    "digits_mlp": {"seeds": 2},
    "digits_mlp-streamed": {"batch_sizes": (4, 32, 256), "seeds": 2, "goal": "loss<0.3"},
    "digits_cnn-growing": {
        "batch_sizes": (4, 16, 64, 256),
        "space": {"learning_rate": (0.05, 0.1, 0.2, 0.4)},
        "seeds": 2,
        "goal": "loss<0.5",
    },
}


class Look(NamedTuple):
    """What was said some seconds after the beginning, and the time that was left indeed."""

    seconds: float
    said: float | None
    left: float


def replayed(recorded: dict[str, Any]) -> Iterator[Look]:
    """What a tally says each time that something is reported: not between a chunk's end and what follows from it."""
    identity = Identity(
        "", "", "", "", (), 1, "2.0", None, width=recorded["width"], lanes=recorded["lanes"], jax=""
    )
    tally, chunks = Tally(GOAL, lambda size, steps: size * steps), {}
    at = lambda column: lambda size: recorded[column][str(size)]
    kinds = [kind for _, kind, *_ in recorded["events"]]
    for (seconds, kind, *told), following in zip(recorded["events"], [*kinds[1:], ""], strict=True):
        if kind == "planned":
            new = {number: _chunk(identity, number, size, lanes) for number, size, lanes in told[0]}
            chunks |= new
            tally.plan([*new.values()], identity, {size: lanes for size, lanes in told[1]})
        elif kind == "beyond":
            tally.expect_beyond(told[0], identity, told[1])
        else:
            chunk = chunks[told[0]]
            tally.note(chunk, _status(*told[1:]) if kind == "status" else _rows(chunk, *told[1:]))
        if following == "beyond":
            continue
        said = tally.left(steps_at=at("steps_at"), worth=at("worth"), at_once=recorded["at_once"])
        yield Look(seconds, said, recorded["seconds"] - seconds)


def _chunk(identity: Identity, number: int, size: int, lanes: int) -> Chunk:
    return Chunk(identity, size, number, tuple({"learning_rate": 1.0 + lane} for lane in range(lanes)))


def _status(step: int, end: float, seconds_per_step: float | None) -> ChunkStatus:
    return ChunkStatus(0, 0, step, end, np.nan, np.nan, seconds_per_step)


def _rows(chunk: Chunk, steps: int, seconds: float) -> ChunkResult:
    lanes = len(chunk.settings)
    steps_of_lanes, unknown = np.full(lanes, steps), np.full(lanes, np.nan)
    no_curve = np.zeros(0, int), np.zeros((0, lanes), np.float32)
    return ChunkResult(unknown, steps_of_lanes, ("budget",) * lanes, *no_curve, lanes, "", "", seconds)


class Recorder(Tally):
    """A tally that keeps what it is told."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.began, self.events, self.numbers, self.identity = time.process_time(), [], {}, None

    def _keep(self, kind: str, *told: Any) -> None:
        self.events.append([round(time.process_time() - self.began, 2), kind, *told])

    def plan(self, chunks, identity, to_come):  # pyright: ignore
        super().plan(chunks, identity, to_come)
        self.identity = identity
        rows = [(self._number(chunk), chunk.batch_size, len(chunk.settings)) for chunk in chunks]
        self._keep("planned", rows, [*map(list, to_come.items())])

    def expect_beyond(self, batch_size, identity, lanes):
        super().expect_beyond(batch_size, identity, lanes)
        self._keep("beyond", batch_size, lanes)

    def note(self, chunk, outcome):
        super().note(chunk, outcome)
        if isinstance(outcome, ChunkStatus):
            pace = outcome.seconds_per_step and float(f"{outcome.seconds_per_step:.4g}")
            self._keep("status", self._number(chunk), outcome.step, round(outcome.end, 1), pace)
        else:
            self._keep("done", self._number(chunk), int(outcome.steps.max()), round(outcome.seconds, 2))

    def _number(self, chunk: Chunk) -> int:
        return self.numbers.setdefault(chunk.id, len(self.numbers))


def warm(study: lr_batch.Study) -> Programs:
    """Compiled before: in studies that are short enough to be recorded compilation takes half of the time."""
    programs, plan = Programs(), ChunkPlan.of(study)
    for program in (ADVANCE, START):
        engine_of(study, plan.width, plan.execution, programs).prepare(places(None)[0], program)
    return programs


def record(name: str) -> dict[str, Any]:
    """Runs one of `STUDIES`."""
    workload = lr_batch.as_workload(name.partition("-")[0])
    study = lr_batch.Study(streamed(workload, True) if "streamed" in name else workload, **STUDIES[name])
    kept: list[Recorder] = []
    sweep.Tally = lambda *given: kept.append(Recorder(*given)) or kept[-1]  # pyright: ignore
    chunk_run.time = SimpleNamespace(monotonic=time.process_time)  # pyright: ignore
    lr_batch.run(study, workers=1, programs=warm(study))
    (recorder,) = kept
    assert recorder.identity
    return {
        "study": repr(study),
        "width": recorder.identity.width,
        "lanes": recorder.identity.lanes,
        "at_once": 1,
        "steps_at": {size: study.steps_at(size) for size in study.batch_sizes},
        "worth": {size: round(rows_worth_a_step(study, size), 2) for size in study.batch_sizes},
        "seconds": round(time.process_time() - recorder.began, 2),
        "events": recorder.events,
    }


def main(names: list[str]) -> None:
    for name in names or STUDIES:
        FOLDER.mkdir(exist_ok=True)
        recorded = record(name)
        (FOLDER / f"{name}.json").write_text(json.dumps(recorded, separators=(",", ":")))


if __name__ == "__main__":
    main(sys.argv[1:])
