"""What a tuning run is asked to do, checked before anything is compiled."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from hparam.registry import SEARCHES, Strategy
from hparam.search import Search
from hparam.space import Space
from hparam.strategy_options import make_strategy
from lr_batch import Goal, Study
from lr_batch.engine import Identity, cadence_of, fingerprint
from optim.arguments import explain_arguments

# Without a goal only the end of a trial decides; evaluations as dense as for a goal would be half of the
# work. A few are left, since a long trial can be checkpointed only there.
EVALUATIONS = 4
RUNGS = 27  # the first rung is this fraction of the last: three promotions of the best third
GENERATIONS = 10  # exchanges of a population
SEEDS_APART = 1_000  # between searches with other seeds: more than a setting is repeated and confirmed
# Larger numbers are typing errors: so many trials take a day on two cores for the smallest network, and seeds have
# 32 bits.
BOUNDS = {
    "trials": (1, 1_000_000),
    "ask": (1, 100_000),
    "width": (1, 4_096),
    "confirm": (0, SEEDS_APART // 2),  # the other half is left to what a search repeats
    "seed": (0, 2_000_000),
}


@explain_arguments
@dataclasses.dataclass(frozen=True)
class TuningPlan:
    """One search through one space, at one batch size.

    Args:
      study: workload, optimizer, the one batch size, goal and budget (steps of a full-length trial); see
        `study_of`.
      space: what is searched.
      fixed: hyperparameters that all trials share.
      search: a name of `hparam.SEARCHES`.
      options: of the strategy, such as `{"eta": 4}`; `max_steps`, `min_steps` and `interval` follow from the
        budget unless they are given.
      trials: cost of the search in full-length trials, from 1 to a million; shorter ones count by their steps.
      ask: settings that the strategy proposes at a time, from 1 to 100,000.
      width: trials side by side in one program, from 1 to 4,096.
      to_goal: whether the loss is the steps to the study's goal, and not the metric at the end of the budget.
      confirm: fresh seeds on which the best settings are trained again, at most 500, 0 for none.
      seed: of the search's draws; and, `SEEDS_APART` times it, the first seed of its trials.

    Raises:
      ValueError: one line naming the field, the value, and what is allowed.
    """

    study: Study
    space: Space
    fixed: Mapping[str, float] = dataclasses.field(default_factory=dict)
    search: str = "bayes"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    trials: int = 64
    ask: int = 16
    width: int = 8
    to_goal: bool = False
    confirm: int = 8
    seed: int = 0

    def __post_init__(self):
        for field, (low, high) in BOUNDS.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise ValueError(f"tune: {field} must be from {low} to {high:,}, got {value:,}")
        if self.to_goal and self.strategy.rungs:
            raise ValueError(
                f"tune: {self.search} compares trials before they end, so it cannot search for the fewest "
                "steps to a goal; leave out --goal or take a search of full-length trials"
            )
        self.make_search()

    @property
    def strategy(self) -> Strategy:
        return SEARCHES[self.search]

    def make_search(self) -> Search:
        return make_strategy(
            "tune",
            self.search,
            self.space,
            trials=self.trials,
            options=self.options,
            lengths=self._lengths(),
        )

    def _lengths(self) -> dict[str, int]:
        """Options of strategies with rungs that follow from the budget."""
        budget = self.study.max_steps
        return {
            "max_steps": budget,
            "min_steps": first_rung(budget),
            "interval": max(1, budget // GENERATIONS),
        }

    @property
    def first_seed(self) -> int:
        """Of a setting's trials: searches with other seeds see other examples and parameters."""
        return SEEDS_APART * self.seed

    @property
    def cadence(self) -> Int[np.ndarray, " evals"]:
        """Steps at which a full-length trial is evaluated."""
        return trial_cadence(self.study, self.to_goal)

    @property
    def loss_name(self) -> str:
        """What is minimised, for people."""
        return f"steps to {self.study.goal}" if self.to_goal else self.loss_name_at(self.study.max_steps)

    @property
    def _sign(self) -> str:
        """Of the metric in what is minimised."""
        return "negative " if self.study.goal.above else ""

    def loss_name_at(self, steps: int) -> str:
        """The same for a trial that ends earlier."""
        return (
            self.loss_name
            if self.to_goal
            else f"{self._sign}held-out {self.study.goal.metric} at step {steps:,}"
        )

    def trial_identity(self, identity: Identity) -> Identity:
        """What decides a trial's numbers beside setting, seed and segment: its study's, less what plays no part."""
        return trial_identity(identity, self.study.goal, self.to_goal)

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """The search as its store knows it. Not its cost: a search that is asked to cost more goes on."""
        return {
            **self.trial_identity(Identity.of(self.study, self.width, self.study.lanes)).described(),
            "batch_size": self.study.batch_sizes[0],
            "space": str(self.space),
            "fixed": dict(self.fixed),
            "search": self.search,
            "options": {name: str(value) for name, value in self.options.items()},
            "ask": self.ask,
            "search_seed": self.seed,
        }

    @property
    def hash(self) -> str:
        return fingerprint(self.description)[:8]


def first_rung(budget: int) -> int:
    """Fewest steps of the first rung, unless the options say them."""
    return max(1, budget // RUNGS)


def trial_cadence(study: Study, to_goal: bool) -> Int[np.ndarray, " evals"]:
    """Steps at which a full-length trial of a search is evaluated."""
    if to_goal:
        return cadence_of(study)
    shares = np.arange(1, EVALUATIONS + 1) / EVALUATIONS
    return np.unique(np.ceil(study.max_steps * shares)).astype(np.int32)


def trial_identity(identity: Identity, goal: Goal, to_goal: bool) -> Identity:
    """That of a search's trials, of the identity of its study."""
    identity = identity._replace(evaluation_share=1.0)  # all held-out rows are read
    if to_goal:
        return identity
    return identity._replace(
        evaluation_growth=None, time_constant=0.0, goal=(goal.metric, None, *goal.described[2:])
    )


@explain_arguments
def study_of(space: Space, fixed: Mapping[str, float], **fields: Any) -> Study:
    """The `Study` of a space, which checks every name and both ends of every range.

    Raises:
      ValueError: one line naming what is wrong.
    """
    ends = {name: dimension.from_unit(dimension.levels(2)) for name, dimension in space.dimensions.items()}
    both = sorted(set(ends) & set(fixed))
    if both:
        raise ValueError(f"tune: {both[0]} is searched and fixed at the same time")
    grid = {name: tuple(map(float, values)) for name, values in ends.items()}
    return Study(
        space=grid | {name: (float(value),) for name, value in fixed.items()},
        seeds=1,
        slack=math.inf,
        extend=False,
        **fields,
    )
