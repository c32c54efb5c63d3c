"""What a study would train, in how much memory and time, from a few steps of each batch size."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence
from typing import IO, NamedTuple

import numpy as np

from hparam import SEARCHES
from lr_batch import Programs, Searched, Study, check
from lr_batch.engine import ChunkPlan, cadence_of, chunk_memory, places, within_memory
from optim.names import counted, listed
from runs.curve import pilot
from runs.curve.chunk_costs import measured, seconds_of
from runs.curve.run import remembered_choice
from runs.progress import duration
from runs.text import Printer


class Forecast(NamedTuple):
    """What a study would take.

    Attributes:
      chunks: how many of them; `at_a_time` run side by side.
      training: seconds, from the costs measured, if every trial spent its budget.
      likely: seconds, if races end as those of the first seed; None where these did not end in time.
      compiling: seconds that the programs took, which are kept for the run.
      programs: how many.
    """

    chunks: int
    at_a_time: int
    training: float
    likely: float | None
    compiling: float
    programs: int


def print_dry_run(study: Study, stream: IO[str]) -> None:
    """Trials, chunks, width, memory, programs, and the time; nothing is kept."""
    say = Printer(stream)
    check(study)
    study = within_memory(study)
    plan = planned(study)
    need = chunk_memory(study)
    followed = "; of these the best rate is followed through less than half" if study.follow else ""
    proposed = f" that {study.design.searched.search} proposes" if study.design else ""
    say(
        f"{counted(study.num_trials, 'trial')}: {counted(len(study.batch_sizes), 'batch size')} x "
        f"{counted(study.num_settings, 'setting')}{proposed} x {counted(len(study.seed_numbers), 'seed')}{followed}"
    )
    say(
        f"memory: {need.chunk(plan.width, plan.execution) / 1e6:,.0f} MB a chunk "
        f"({need.lane(plan.width, plan.execution) / 1e6:,.3g} MB a lane), {need.data / 1e6:,.0f} MB of data"
    )
    for note in study.notes:
        say(note)
    found = forecast(study, plan)
    say(
        f"{counted(found.chunks, 'chunk')} of up to {counted(plan.width, 'lane')}, {found.at_a_time} at a time"
    )
    say(f"programs: {found.programs}, compiled in {found.compiling:.1f} s (kept for the next run)")
    say(f"time: {in_words(study, found)}; figures and report take some seconds more")
    if study.design:
        for line in _about_search(study.design.searched):
            say(line)
    elif study.extend:
        say("not counted: rates that are added where the best one lies on the edge of the grid (--no-extend)")


def _about_search(searched: Searched) -> list[str]:
    """What the time of a search leaves open, in lines."""
    if searched.changes:
        *first, last = (f"{share:.3g}" for share in searched.changes)
        parts = f"{', '.join(first)} and {last}" if first else last
        return [
            f"{searched.search} exchanges members at {parts} of the budget and trains them from the beginning each time, "
            "which is counted; it ends soon after the best one has got to the goal"
        ]
    lines = ["not counted: settings that are tried in place of those that diverge"]
    if SEARCHES[searched.search].rungs:
        lines.append(
            f"{searched.search} trains most settings for only a part of the budget, in much less time"
        )
    return lines


def in_words(study: Study, found: Forecast) -> str:
    """The time of training, and how it is known."""
    most = f"at most about {_duration(found.training)}, if every trial spends its budget"
    if not _races(study):
        return most
    if found.likely is None:
        return f"{most}; the race ends most chunks earlier, but {duration(pilot.SECONDS)} were too short to see when"
    sizes = listed("batch size", (f"{size:,}" for size in pilot.ends(study)))
    return f"about {_duration(found.likely)} of training, going by the race of one seed at {sizes}; {most}"


def _races(study: Study) -> bool:
    """Whether a trial of one seed tells how long the others take."""
    return bool(np.isfinite(study.slack)) and not _has_rungs(study)


def _has_rungs(study: Study) -> bool:
    return study.design is not None and SEARCHES[study.design.searched.search].rungs


def _duration(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{max(seconds, 0.1):.1f} s"


def planned(study: Study) -> ChunkPlan:
    """How the trials are laid out, as a run would."""
    return ChunkPlan.of(dataclasses.replace(study, lanes=remembered_choice(study)))


def forecast(study: Study, plan: ChunkPlan, programs: Programs | None = None) -> Forecast:
    """Measures a few steps and evaluations at every batch size, and adds up what all trials take: to their budgets, and
    to where races are likely to end."""
    programs, devices = programs or Programs(), places(study.mesh)
    engine = programs.engine(study, plan.width, plan.execution, max_evals=len(cadence_of(study)))
    costs = {size: measured(study, engine, size) for size in study.trained_batch_sizes}
    per_seed = -(-study.num_settings // plan.width)
    whole = [
        seconds_of(study, size, costs)
        for size in study.batch_sizes
        for _ in range(per_seed * len(study.seed_numbers))
    ]
    races = pilot.raced(study, plan, programs) if _races(study) else {}
    legs = 1.0 + (
        sum(study.design.searched.changes) if study.design else 0.0
    )  # of the budget, one after the other
    together = lambda each: legs * makespan(sorted(each, reverse=True), len(devices))
    ended = {*races} == {*pilot.ends(study)}
    return Forecast(
        len(whole),
        len(devices),
        together(whole),
        min(together(pilot.likely(study, plan, costs, races)), together(whole)) if ended else None,
        sum(programs.compile_seconds),
        len(programs.compile_seconds),
    )


def makespan(each: Sequence[float], workers: int) -> float:
    """Seconds until the last of the chunks ends, when each worker takes the next one as soon as it is free.

    >>> makespan([5.0, 3.0, 3.0], 2)
    6.0
    """
    free = [0.0] * workers
    for seconds in each:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)
