"""How many steps and evaluations a loop over trials takes for a whole study, under each protocol.

"unraced": every trial goes on until its goal, its divergence or the end of the budget.
"raced": one trial after the other, in random order, each left at the slack times the best so far of its batch
size and seed. That is all that a loop can know.
"oracle": the same, but the best of each batch size and seed is told before the first trial.

The engine's result says how many steps a trial takes, since a trial alone takes the same. Of trials that the
engine's race cut off, a sample that was trained without a race tells how long they would have gone on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lr_batch import BUDGET

Trials = Mapping[str, np.ndarray]
ORDERS = 400  # random orders of the trials of a cell, over which the cost of its race is averaged


class Load(NamedTuple):
    """What all trials of one batch size take."""

    trials: int
    steps: float
    evaluations: float


class Ends(NamedTuple):
    """Of each trial without a race: its last step, and whether that is its goal."""

    last: Float[np.ndarray, " trials"]
    reaches: Bool[np.ndarray, " trials"]


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


def ends(trials: Trials) -> Ends:
    """Where each trial ended in the engine."""
    reached = np.isfinite(trials["steps_to_goal"])
    return Ends(np.where(reached, trials["steps_to_goal"], trials["steps"]), reached)


def counted(last: Float[np.ndarray, "..."], cadence: Sequence[int] | np.ndarray) -> Int[np.ndarray, "... 2"]:
    """Steps and evaluations of a trial that knows its outcome at the first evaluation from step `last` on."""
    number = np.minimum(np.searchsorted(cadence, last), len(cadence) - 1)
    return np.stack([np.asarray(cadence)[number], number + 1], axis=-1)


def ends_without_race(trials: Trials, sample: Trials) -> Ends:
    """Those that the race cut off go on as the sampled trials of their batch size do.

    Their last step is interpolated in log step against log rate, and beyond the sampled rates taken from the
    nearest, which favours the loops: lower rates take longer. They reach their goal if the nearest does.
    """
    known, sampled = ends(trials), ends(sample)
    last, reaches = known.last.astype(float), known.reaches.copy()
    for size in np.unique(trials["batch_size"]):
        cut = (trials["batch_size"] == size) & (trials["status"] == BUDGET)
        mine = np.flatnonzero(sample["batch_size"] == size)
        mine = mine[np.argsort(sample["learning_rate"][mine])]
        rates, at = np.log(sample["learning_rate"][mine]), np.log(trials["learning_rate"][cut])
        going_on = np.exp(np.interp(at, rates, np.log(np.maximum(sampled.last[mine], 1.0))))
        last[cut] = np.maximum(last[cut], going_on)
        reaches[cut] = sampled.reaches[mine][np.abs(at[:, None] - rates).argmin(axis=1)]
    return Ends(last, reaches)


def oracle_loads(trials: Trials, cadence: Sequence[int] | np.ndarray) -> dict[int, Load]:
    """Exact: a trial ends where the engine's race ended it."""
    return _by_size(trials, counted(ends(trials).last, cadence))


def unraced_loads(trials: Trials, sample: Trials, cadence: Sequence[int] | np.ndarray) -> dict[int, Load]:
    return _by_size(trials, counted(ends_without_race(trials, sample).last, cadence))


def raced_loads(
    trials: Trials,
    sample: Trials,
    cadence: Sequence[int] | np.ndarray,
    slack: float,
    rng: np.random.Generator,
) -> dict[int, Load]:
    """The mean over random orders of the trials of each cell."""
    without = ends_without_race(trials, sample)
    counts = np.zeros((len(without.last), 2))
    for size in np.unique(trials["batch_size"]):
        for seed in np.unique(trials["seed"]):
            cell = np.flatnonzero((trials["batch_size"] == size) & (trials["seed"] == seed))
            orders = rng.permuted(np.tile(np.arange(len(cell)), (ORDERS, 1)), axis=1)
            own = Ends(without.last[cell], without.reaches[cell])
            counts[cell] = race_one_by_one(own, orders, cadence, slack).mean(axis=0)
    return _by_size(trials, counts)


def race_one_by_one(
    own: Ends, orders: Int[np.ndarray, "orders trials"], cadence: Sequence[int] | np.ndarray, slack: float
) -> Float[np.ndarray, "orders trials 2"]:
    """Steps and evaluations of each trial of a cell where they race one after the other, in each of `orders`."""
    counts, best = np.zeros((*orders.shape, 2)), np.full(len(orders), np.inf)
    for trial in orders.T:  # those that come next, in all orders at once
        alone, race = counted(own.last[trial], cadence), counted(slack * best, cadence)
        counts[np.arange(len(orders)), trial] = np.minimum(alone, race)
        gets_there = own.reaches[trial] & (alone[:, 0] <= race[:, 0])
        best = np.where(gets_there, np.minimum(best, own.last[trial]), best)
    return counts


def _by_size(trials: Trials, counts: Float[np.ndarray, "trials 2"]) -> dict[int, Load]:
    sizes = {int(size): trials["batch_size"] == size for size in np.unique(trials["batch_size"])}
    return {
        size: Load(int(mine.sum()), *map(float, counts[mine].sum(axis=0))) for size, mine in sizes.items()
    }
