"""What a serial peer would need for every trial of a study, from the trials that it was given.

A peer is given a random sample of the trials of every batch size, each for a limited time, and what it needs for
a start, a step and a held-out row is multiplied by the steps and rows of all trials (`runs.bench.loads`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lr_batch import LEVEL
from runs.bench.loads import Load, Trials
from runs.bench.trial_loop import Timing, TrialPlan

RESAMPLES = 2_000


class Projection(NamedTuple):
    """Seconds with a 90 % interval of the bootstrap over sampled trials, and the part of each batch size."""

    seconds: float
    low: float
    high: float
    by_size: Mapping[int, float]


def make_plans(
    trials: Trials,
    hparams: Mapping[str, Sequence[float]],
    slack: float,
    per_size: int,
    rng: np.random.Generator,
) -> list[TrialPlan]:
    """`per_size` random trials of every batch size, in random order within it, each with the end of its
    race."""
    plans = []
    for size in np.unique(trials["batch_size"]):
        mine = np.flatnonzero(trials["batch_size"] == size)
        for i in rng.choice(mine, min(per_size, len(mine)), replace=False):
            cell = (trials["batch_size"] == size) & (trials["seed"] == trials["seed"][i])
            goals = trials["steps_to_goal"][cell]
            best = np.min(goals[np.isfinite(goals)], initial=np.inf)
            setting = {name: float(values[i]) for name, values in hparams.items()}
            plans.append(TrialPlan(int(i), int(size), int(trials["seed"][i]), setting, float(slack * best)))
    return plans


def estimate(timings: Sequence[Timing], loads: Mapping[int, Load], rng: np.random.Generator) -> Projection:
    """Seconds of all trials one after the other, compilation and start of the process left out."""
    totals, resampled = {}, np.zeros(RESAMPLES)
    for size, load in loads.items():
        mine = np.array([measured(t) for t in timings if t.batch_size == size])
        totals[size] = float(seconds(mine[None], load)[0])
        resampled += seconds(mine[rng.integers(len(mine), size=(RESAMPLES, len(mine)))], load)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Projection(sum(totals.values()), float(low), float(high), totals)


def measured(timing: Timing) -> tuple[float, ...]:
    return (timing.start_seconds, timing.train_seconds, timing.steps, timing.eval_seconds, timing.rows)


def seconds(timed: Float[np.ndarray, "resamples n 5"], load: Load) -> Float[np.ndarray, " resamples"]:
    """Ratios of sums: a trial that was measured for longer counts for more."""
    start, train, steps, evaluate, rows = np.moveaxis(timed.sum(axis=1), -1, 0)
    per_step, per_row = train / np.maximum(steps, 1), evaluate / rows
    return load.trials * start / timed.shape[1] + load.steps * per_step + load.rows * per_row
