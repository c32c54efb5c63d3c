"""One trial after the other: the loop that the serial peers share, and its clock."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from lr_batch import Goal
from lr_batch.engine import average_weights, epoch_order
from runs.bench.loads import Evaluations

REACHED, DIVERGED, BUDGET, RACE, TIME = "reached", "diverged", "budget", "race", "time"


class PeerTrainer(NamedTuple):
    """`start: (seed, hparams) -> state`; `step: (state, rows, number) -> state`, where rows are the
    examples of the batch and `number` is the step's; `wait: state -> None` until it is computed; `evaluate:
    (state, rows) -> float` on these held-out rows, None for all."""

    start: Callable[[int, Mapping[str, float]], Any]
    step: Callable[[Any, np.ndarray, int], Any]
    wait: Callable[[Any], None]
    evaluate: Callable[[Any, np.ndarray | None], float]


class TrialPlan(NamedTuple):
    """A trial and when to leave it: `race` is the step at which its race is over, infinite without one."""

    trial: int
    batch_size: int
    seed: int
    hparams: Mapping[str, float]
    race: float


class Timing(NamedTuple):
    """What a trial took, in seconds; `rows` are the held-out rows that its evaluations read."""

    trial: int
    batch_size: int
    steps: int
    rows: int
    start_seconds: float
    train_seconds: float
    eval_seconds: float
    status: str
    steps_to_goal: float | None


class Rules(NamedTuple):
    """When and on which rows trials are evaluated, as in the engine, and what ends every one: the last evaluation, `goal`
    by the average of `time_constant`, or `seconds`."""

    evaluations: Evaluations
    goal: Goal
    time_constant: float = 0.0
    seconds: float = math.inf


def run_trial(trainer: PeerTrainer, plan: TrialPlan, rules: Rules, num_examples: int) -> Timing:
    """Trains until the goal, divergence, the race, the last evaluation, or the time are over.

    The order of examples is made outside of the clock.
    """
    clock = time.perf_counter
    batches = rows_of_steps(plan.seed, plan.batch_size, num_examples)
    began = clock()
    state = trainer.start(plan.seed, plan.hparams)
    trainer.wait(state)
    start_seconds, train_seconds, eval_seconds = clock() - began, 0.0, 0.0
    step, before, last_value, read = 0, (0, math.nan), math.nan, 0
    steps, reads = rules.evaluations.of_trial(plan.batch_size, plan.seed)
    weights = average_weights(steps, rules.time_constant).tolist()
    for stop, held_out, (kept, past, now) in zip(steps.tolist(), reads, weights, strict=True):
        rows = list(itertools.islice(batches, stop - step))
        began = clock()
        for number, row in enumerate(rows, step):
            state = trainer.step(state, row, number)
        trainer.wait(state)
        trained = clock()
        value = trainer.evaluate(state, held_out)
        train_seconds, eval_seconds = train_seconds + trained - began, eval_seconds + clock() - trained
        step, read = stop, read + (rules.evaluations.num_rows if held_out is None else len(held_out))
        average = now * value + (kept * before[1] + past * last_value if kept else 0.0)
        status = status_of(value, average, step, plan, rules, train_seconds + eval_seconds)
        if status:
            break
        before, last_value = (step, average), value
    goal = crossing(*before, step, average, rules.goal.threshold) if status == REACHED else None
    return Timing(
        plan.trial,
        plan.batch_size,
        step,
        read,
        start_seconds,
        train_seconds,
        eval_seconds,
        status or BUDGET,
        goal,
    )


def status_of(
    value: float, average: float, step: int, plan: TrialPlan, rules: Rules, used: float
) -> str | None:
    """Why the trial ends here, or None if it goes on."""
    if not math.isfinite(value):
        return DIVERGED
    if rules.goal.is_met(average):
        return REACHED
    if step >= plan.race:
        return RACE
    return TIME if used > rules.seconds else None


def crossing(step_before: int, value_before: float, step: int, value: float, threshold: float) -> float:
    """Where the line between two averages meets the threshold, as `lr_batch.lanes.race.crossing_step`."""
    if math.isnan(value_before):  # there was none
        return float(step)
    return step_before + (value_before - threshold) / (value_before - value) * (step - step_before)


_order = jax.jit(epoch_order, static_argnums=2)


def rows_of_steps(seed: int, batch_size: int, num_examples: int) -> Iterator[Int[np.ndarray, " batch_size"]]:
    """The examples of each step, as `lr_batch.lanes.lane.Draw` draws them."""
    order = lambda epoch: np.asarray(_order(np.int32(seed), np.int32(epoch), num_examples))
    epoch, offset, orders = 0, 0, np.concatenate([order(0), order(1)])
    while True:
        yield orders[offset : offset + batch_size]
        offset += batch_size
        if offset >= num_examples:
            epoch, offset = epoch + 1, offset - num_examples
            orders = np.concatenate([orders[num_examples:], order(epoch + 1)])
