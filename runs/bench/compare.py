"""Runs the peers side by side, in turn, and puts their answers together."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from runs.bench import projection
from runs.bench.child import ChildFailed, Message, plain_environment, run_child, sweep_environment
from runs.bench.loads import columns
from runs.bench.process_pool import run_pool
from runs.bench.torch_loop import missing
from runs.bench.trial_loop import REACHED, Timing
from runs.bench.work import Work

SERIAL = ("serial", "torch", "pool")


class Effort(NamedTuple):
    """How much is measured: rounds in which every peer has its turn, sampled trials of each batch size and
    round, seconds for each of them, warm runs of a round, rates whose trials are trained without a race (0:
    the race alone is compared), seconds for each timed part of a step, and for each peer's turn at most."""

    rounds: int = 3
    trials_per_size: int = 4
    trial_seconds: float = 1.0
    warm_runs: int = 2
    unraced_rates: int = 4
    part_seconds: float = 0.3
    timeout: float = 3_600.0


QUICK = Effort(1, 1, 0.05, 1, 1, 0.002, 300.0)


class Turn(NamedTuple):
    """What one turn of a serial peer gave: trials' timings, seconds of compilation, and until it was
    ready."""

    timings: list[Timing]
    compile_seconds: float
    ready_seconds: float


class Runs(NamedTuple):
    """All that was measured. `engine` has one entry a round: seconds until the cold run was done, its
    account, the warm runs, the same for the second start; `turns` one list of rounds a serial peer;
    `absent` says why one is not there."""

    engine: list[dict[str, Any]]
    turns: Mapping[str, list[Turn]]
    absent: Mapping[str, str]
    breakdown: list[Mapping[str, Any]]
    unraced: Mapping[str, Any] | None


def measure(work: Work, effort: Effort, peers: Sequence[str], say: Callable[[str], None]) -> Runs:
    """Gives every peer its turn in each round; the order of the serial peers is turned around from round to
    round."""
    study = work.study()
    rng = np.random.default_rng(0)  # of the sample: the same command measures the same trials
    reasons = {"torch": missing(study.workload.name, study.optimizer_name)}
    absent = {peer: reason for peer, reason in reasons.items() if peer in peers and reason}
    turns: dict[str, list[Turn]] = {peer: [] for peer in peers if peer not in absent}
    engine: list[dict[str, Any]] = []
    for number in range(effort.rounds):
        say(f"round {number + 1} of {effort.rounds}: engine")
        engine.append(engine_turn(work, effort))
        trials = engine[0]["cold"]["trials"]
        plans = projection.make_plans(
            columns(trials), trials["hparams"], study.slack, effort.trials_per_size, rng
        )
        for peer in sorted(turns, reverse=bool(number % 2)):
            say(f"round {number + 1} of {effort.rounds}: {peer}")
            try:
                turns[peer].append(serial_turn(peer, work, plans, effort))
            except ChildFailed as error:
                absent[peer] = str(error)
    say("parts of a step, and the bound")
    breakdown = engine_child("runs.bench.breakdown", request(work, seconds=effort.part_seconds), effort)
    unraced = engine_unraced(work, effort, say) if effort.unraced_rates else None
    present = {peer: rounds for peer, rounds in turns.items() if peer not in absent}
    return Runs(engine, present, absent, [message.body for message in breakdown], unraced)


def request(work: Work, **fields: Any) -> dict[str, Any]:
    return {"work": dataclasses.asdict(work), **fields}


def engine_child(module: str, asked: Mapping[str, Any], effort: Effort) -> list[Message]:
    """With the flags of a sweep and an empty compilation cache."""
    with tempfile.TemporaryDirectory(prefix="lr-batch-bench-") as cache:
        return run_child(module, asked, sweep_environment(cache), effort.timeout)


def engine_turn(work: Work, effort: Effort) -> dict[str, Any]:
    """A cold start with an empty compilation cache, warm runs in the same process, and a second start."""
    with tempfile.TemporaryDirectory(prefix="lr-batch-bench-") as cache:
        ask = lambda repeats: run_child(
            "runs.bench.engine",
            request(work, mode="whole", repeats=repeats),
            sweep_environment(cache),
            effort.timeout,
        )
        first, second = ask(effort.warm_runs), ask(0)
    return {
        "cold": {**_body(first, "cold"), "seconds": _at(first, "cold"), "ready": _at(first, "ready")},
        "warm": [message.body["warm"] for message in first if "warm" in message.body],
        "again": {**_body(second, "cold")["engine"], "seconds": _at(second, "cold")},
        "peak_bytes": _body(first, "peak_bytes"),
    }


def serial_turn(peer: str, work: Work, plans: Sequence[projection.TrialPlan], effort: Effort) -> Turn:
    asked = request(work, plans=[plan._asdict() for plan in plans], seconds=effort.trial_seconds)
    if peer == "pool":
        parts = [turn_of(messages) for messages in run_pool(asked, effort.timeout)]
        return Turn(
            [timing for part in parts for timing in part.timings],
            max(part.compile_seconds for part in parts),
            max(part.ready_seconds for part in parts),
        )
    module = "runs.bench.serial_loop" if peer == "serial" else "runs.bench.torch_loop"
    return turn_of(run_child(module, asked, plain_environment(), effort.timeout))


def turn_of(messages: Sequence[Message]) -> Turn:
    timings = [Timing(**message.body["timing"]) for message in messages if "timing" in message.body]
    return Turn(timings, sum(_body(messages, "compile").values()), _at(messages, "ready"))


def engine_unraced(work: Work, effort: Effort, say: Callable[[str], None]) -> Mapping[str, Any]:
    """Trials of the first seed without a race, at some rates from the lowest to the highest: how long those go on
    that the race cuts off."""
    rates = work.study().space["learning_rate"]
    chosen = np.linspace(0, len(rates) - 1, min(effort.unraced_rates, len(rates))).round().astype(int)
    say("a sample without the race")
    asked = request(work, mode="unraced", rates=[rates[i] for i in chosen])
    return _body(engine_child("runs.bench.engine", asked, effort), "unraced")


def _body(messages: Sequence[Message], name: str) -> Any:
    return next(message.body[name] for message in messages if name in message.body)


def _at(messages: Sequence[Message], name: str) -> float:
    return next(message.at for message in messages if name in message.body)


def agreement(runs: Runs) -> dict[str, dict[str, float]]:
    """Whether peers give the engine's answers: trials compared, the largest and the median relative
    difference of the steps to the goal, and trials with another outcome."""
    theirs = np.array(
        [np.nan if value is None else value for value in runs.engine[0]["cold"]["trials"]["steps_to_goal"]]
    )
    report = {}
    for peer, rounds in runs.turns.items():
        ended = [t for turn in rounds for t in turn.timings if t.status != "time"]
        reached = [(t.steps_to_goal, theirs[t.trial]) for t in ended if t.status == REACHED]
        differences = [abs(ours - engine) / engine for ours, engine in reached if np.isfinite(engine)]
        other = sum((t.status == REACHED) != np.isfinite(theirs[t.trial]) for t in ended)
        report[peer] = {
            "compared": len(ended),
            "reached": len(differences),
            "largest": float(np.max(differences, initial=0.0)),
            "median": float(np.median(differences)) if differences else 0.0,
            "other_outcome": int(other),
        }
    return report
