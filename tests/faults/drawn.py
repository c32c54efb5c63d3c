"""Tries the faults of a list, one after the other."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults import company, corruption
from tests.faults.jobs import Job
from tests.faults.kills import Killer
from tests.faults.outcomes import DONE, HANG, REFUSED, TRACEBACK, UNCLEAR, Outcome, judged, patience

WORDS = ("line", "call")
ENDINGS = {"traceback": TRACEBACK, "too long": HANG}  # of a drawn line or call, those that may not be


def tried(jobs: list[Job], seed: int) -> Iterator[tuple[Job, list[Outcome]]]:
    """Each job and what became of it, of a chain of kills one outcome for each."""
    yield from _kills([job for job in jobs if job.kind.startswith("kill ")], seed)
    for job in jobs:
        if job.kind in corruption.KINDS:
            yield job, [_judged_in_folder(corruption.KINDS[job.kind], job, seed)]
        elif job.kind in company.KINDS:
            yield job, [_judged_in_folder(company.KINDS[job.kind], job, seed)]
    yield from _words([job for job in jobs if job.kind in WORDS], seed)


def _kills(jobs: list[Job], seed: int) -> Iterator[tuple[Job, list[Outcome]]]:
    if not jobs:
        return
    with tempfile.TemporaryDirectory() as scratch, Killer(Path(scratch)) as killer:
        for job in jobs:
            draw = random.Random(f"{job.kind} {seed} {job.number}")
            yield job, list(killer.chain(job.kind.removeprefix("kill "), job.number, draw))


def _judged_in_folder(fault: Callable[[Path, random.Random], str], job: Job, seed: int) -> Outcome:
    def within_patience() -> str:
        with patience():
            return fault(folder, random.Random(f"{job.kind} {seed} {job.number}"))

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "study")
        folder.mkdir()
        return judged(within_patience)


def _words(jobs: list[Job], seed: int) -> Iterator[tuple[Job, list[Outcome]]]:
    """Drawn command lines and calls, see `tests.fuzz`."""
    if not jobs:
        return
    from tests.fuzz.__main__ import fuzz
    from tests.fuzz.world import KINDS

    kinds = tuple(KINDS) if any(job.kind == "line" for job in jobs) else ()
    here = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="lr-batch-fuzz-") as scratch, contextlib.chdir(here):
        for job, (_, shown, ended) in zip(jobs, fuzz(Path(scratch), jobs, seed, kinds), strict=True):
            fault = ended.fault and f"{shown}\n{ended.fault}\n{ended.said.strip()[-600:]}"
            yield job, [_of_words(ended.kind, fault)]


def _of_words(kind: str, fault: str | None) -> Outcome:
    if fault is None:
        return Outcome(DONE if kind in ("exit 0", "returned") else REFUSED)
    return Outcome(ENDINGS.get(kind, UNCLEAR), fault)
