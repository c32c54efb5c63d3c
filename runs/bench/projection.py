"""What a serial peer would need for every trial of a study, from the trials that it was given.

The engine's result says how many steps each trial takes, which is the same for every peer. A peer is given
a random sample of the trials of every batch size, each for a limited time, and what it needs for a start, a
step and an evaluation is multiplied by the steps and evaluations of all trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from runs.bench.trial_loop import Plan, Timing

RESAMPLES = 2_000
NOTHING = np.zeros((0, 2))


class Load(NamedTuple):
    """What all trials of one batch size take: `steps` and `evaluations` of those whose end is known, and
    `open_trials` more, of which `sample` holds (steps, evaluations) of a few."""

    trials: int
    steps: int
    evaluations: int
    open_trials: int = 0
    sample: Float[np.ndarray, "n 2"] = NOTHING


class Estimate(NamedTuple):
    """Seconds with a 95 % interval of the bootstrap over sampled trials, and the part of each batch size."""

    seconds: float
    low: float
    high: float
    by_size: Mapping[int, float]


def columns(trials: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The engine's trials as arrays; NaN where the goal was not reached."""
    return {
        "batch_size": np.array(trials["batch_size"]),
        "seed": np.array(trials["seed"]),
        "learning_rate": np.array(trials["hparams"]["learning_rate"]),
        "steps_to_goal": np.array(trials["steps_to_goal"], np.float64),
        "steps": np.array(trials["steps"]),
        "status": np.array(trials["status"]),
    }


def ends(trials: Mapping[str, np.ndarray], cadence: Sequence[int]) -> Int[np.ndarray, "trials 2"]:
    """Steps and evaluations of each trial when it is trained alone and left where its outcome is known."""
    last = np.where(np.isfinite(trials["steps_to_goal"]), trials["steps_to_goal"], trials["steps"])
    number = np.minimum(np.searchsorted(cadence, last), len(cadence) - 1)
    return np.stack([np.asarray(cadence)[number], number + 1], axis=1)


def raced_loads(trials: Mapping[str, np.ndarray], cadence: Sequence[int]) -> dict[int, Load]:
    """Of trials that stop at the end of the race, whose best they are told for nothing."""
    counted = ends(trials, cadence)
    sizes = {int(size): trials["batch_size"] == size for size in np.unique(trials["batch_size"])}
    return {size: Load(int(mine.sum()), *map(int, counted[mine].sum(axis=0))) for size, mine in sizes.items()}


def unraced_loads(
    trials: Mapping[str, np.ndarray], sample: Mapping[str, np.ndarray], cadence: Sequence[int]
) -> dict[int, Load]:
    """Without a race: what reached the goal or diverged in it is known, `sample` tells how long the others
    take.

    Where all of the sampled trials of a batch size are known from the race, those of all batch sizes stand
    in; where all of those are known too, the steps at which the race cut trials off, a lower bound.
    """
    counted, sampled = ends(trials, cadence), ends(sample, cadence)
    cut = trials["status"] == "budget"
    names = ("batch_size", "seed", "learning_rate")
    keys = lambda table: list(zip(*(table[name].tolist() for name in names), strict=True))  # noqa: E731
    open_keys = {key for key, is_cut in zip(keys(trials), cut, strict=True) if is_cut}
    of_open = np.array([key in open_keys for key in keys(sample)], bool)
    loads = {}
    for size in map(int, np.unique(trials["batch_size"])):
        mine = trials["batch_size"] == size
        samples = (sampled[of_open & (sample["batch_size"] == size)], sampled[of_open], counted[mine & cut])
        known = counted[mine & ~cut].sum(axis=0)
        sample_of_open = next((rows for rows in samples if len(rows)), NOTHING)
        loads[size] = Load(int(mine.sum()), *map(int, known), int((mine & cut).sum()), sample_of_open)
    return loads


def make_plans(
    trials: Mapping[str, np.ndarray], hparams: Mapping[str, Sequence[float]], slack: float, per_size: int,
    rng: np.random.Generator,
) -> list[Plan]:  # fmt: skip
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
            plans.append(Plan(int(i), int(size), int(trials["seed"][i]), setting, float(slack * best)))
    return plans


def estimate(timings: Sequence[Timing], loads: Mapping[int, Load], rng: np.random.Generator) -> Estimate:
    """Seconds of all trials one after the other, compilation and start of the process left out."""
    totals, resampled = {}, np.zeros(RESAMPLES)
    for size, load in loads.items():
        mine = np.array([measured(t) for t in timings if t.batch_size == size])
        totals[size] = float(seconds(mine[None], load, load.sample[None])[0])
        rows = rng.integers(len(mine), size=(RESAMPLES, len(mine)))
        picks = rng.integers(max(len(load.sample), 1), size=(RESAMPLES, len(load.sample)))
        resampled += seconds(mine[rows], load, load.sample[picks])
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(sum(totals.values()), float(low), float(high), totals)


def measured(timing: Timing) -> tuple[float, ...]:
    return (
        timing.start_seconds, timing.train_seconds, timing.steps, timing.eval_seconds, timing.evaluations
    )  # fmt: skip


def seconds(
    timed: Float[np.ndarray, "resamples n 5"], load: Load, sample: Float[np.ndarray, "resamples k 2"]
) -> Float[np.ndarray, " resamples"]:
    """Ratios of sums: a trial that was measured for longer counts for more."""
    start, train, steps, evaluate, evaluations = np.moveaxis(timed.sum(axis=1), -1, 0)
    each = sample.mean(axis=1) if sample.shape[1] else np.zeros((1, 2))
    all_steps = load.steps + load.open_trials * each[:, 0]
    all_evaluations = load.evaluations + load.open_trials * each[:, 1]
    per_step = train / np.maximum(steps, 1)
    return (
        load.trials * start / timed.shape[1] + all_steps * per_step + all_evaluations * evaluate / evaluations
    )
