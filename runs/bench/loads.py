"""How many steps, and rows read by evaluations, a loop over trials takes for a whole study, under each protocol.

"unraced": every trial goes on until its goal, its divergence or the end of the budget.
"raced": one trial after the other, in random order, each left at the slack times the best so far of its batch
size and seed. That is all that a loop can know.
"oracle": the same, but the best of each batch size and seed is told before the first trial.

The engine's result says how many steps a trial takes, since a trial alone takes the same. Of trials that the
engine's race cut off, a sample that was trained without a race tells how long they would have gone on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lr_batch import BUDGET, Study, num_examples
from lr_batch.engine import Cadence, cadence_at, shuffled

Trials = Mapping[str, np.ndarray]
ORDERS = 400  # random orders of the trials of a cell, over which the cost of its race is averaged


class Load(NamedTuple):
    """What all trials of one batch size take."""

    trials: int
    steps: float
    rows: float


class Evaluations(NamedTuple):
    """When trials of each batch size are evaluated, and on how many of the `num_rows` held-out rows: as in the engine."""

    cadences: Mapping[int, Cadence]
    num_rows: int

    @classmethod
    def of(cls, study: Study) -> Evaluations:
        cadences = {size: cadence_at(study, size) for size in study.batch_sizes}
        return cls(cadences, num_examples(study.workload.eval_data))

    def of_trial(self, batch_size: int, seed: int) -> tuple[np.ndarray, list[np.ndarray | None]]:
        """Steps of a trial's evaluations, and the rows that each of them reads; None for all."""
        cadence, order = self.cadences[batch_size], shuffled(self.num_rows)
        reads = cadence.reads(self.num_rows, seed).tolist()
        rows = [
            order[(first + np.arange(number)) % self.num_rows] if number else None for first, number in reads
        ]
        return cadence.steps, rows

    def counted(self, batch_size: int, last: Float[np.ndarray, "..."]) -> Float[np.ndarray, "... 2"]:
        """Steps of a trial whose outcome is known at the first evaluation from step `last` on, and rows read by then."""
        steps, rows = self.cadences[batch_size]
        number = np.minimum(np.searchsorted(steps, last), len(steps) - 1)
        read = np.cumsum(np.where(rows == 0, self.num_rows, rows), dtype=np.float64)
        return np.stack([np.asarray(steps)[number], read[number]], axis=-1)


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


def oracle_loads(trials: Trials, evaluations: Evaluations) -> dict[int, Load]:
    """Exact: a trial ends where the engine's race ended it."""
    return _by_size(trials, counted(trials, ends(trials).last, evaluations))


def unraced_loads(trials: Trials, sample: Trials, evaluations: Evaluations) -> dict[int, Load]:
    return _by_size(trials, counted(trials, ends_without_race(trials, sample).last, evaluations))


def counted(
    trials: Trials, last: Float[np.ndarray, " trials"], evaluations: Evaluations
) -> Float[np.ndarray, "trials 2"]:
    """Steps of each trial, and rows that it has read."""
    counts = np.zeros((len(last), 2))
    for size in map(int, np.unique(trials["batch_size"])):
        mine = trials["batch_size"] == size
        counts[mine] = evaluations.counted(size, last[mine])
    return counts


def raced_loads(
    trials: Trials, sample: Trials, evaluations: Evaluations, slack: float, rng: np.random.Generator
) -> dict[int, Load]:
    """The mean over random orders of the trials of each cell."""
    without = ends_without_race(trials, sample)
    counts = np.zeros((len(without.last), 2))
    for size in map(int, np.unique(trials["batch_size"])):
        count = partial(evaluations.counted, size)
        for seed in np.unique(trials["seed"]):
            cell = np.flatnonzero((trials["batch_size"] == size) & (trials["seed"] == seed))
            orders = rng.permuted(np.tile(np.arange(len(cell)), (ORDERS, 1)), axis=1)
            own = Ends(without.last[cell], without.reaches[cell])
            counts[cell] = race_one_by_one(own, orders, count, slack).mean(axis=0)
    return _by_size(trials, counts)


def race_one_by_one(
    own: Ends,
    orders: Int[np.ndarray, "orders trials"],
    count: Callable[[np.ndarray], np.ndarray],
    slack: float,
) -> Float[np.ndarray, "orders trials 2"]:
    """Steps and rows of each trial of a cell where they race one after the other, in each of `orders`; `count` gives both
    from last steps."""
    counts, best = np.zeros((*orders.shape, 2)), np.full(len(orders), np.inf)
    for trial in orders.T:  # those that come next, in all orders at once
        alone, race = count(own.last[trial]), count(slack * best)
        counts[np.arange(len(orders)), trial] = np.minimum(alone, race)
        gets_there = own.reaches[trial] & (alone[:, 0] <= race[:, 0])
        best = np.where(gets_there, np.minimum(best, own.last[trial]), best)
    return counts


def _by_size(trials: Trials, counts: Float[np.ndarray, "trials 2"]) -> dict[int, Load]:
    sizes = {int(size): trials["batch_size"] == size for size in np.unique(trials["batch_size"])}
    return {
        size: Load(int(mine.sum()), *map(float, counts[mine].sum(axis=0))) for size, mine in sizes.items()
    }
