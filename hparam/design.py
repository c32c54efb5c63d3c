"""Any search at every batch size of a study: the settings of `lr_batch.Study(design=...)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from hparam.asking import Asking, side_by_side
from hparam.dimension import Dimension
from hparam.grid import affordable_levels, grid_cells
from hparam.lineages import population_design
from hparam.registry import SEARCHES
from hparam.rungs import go_on
from hparam.search import FRESH, Key, Proposal, Search, Segment, to_proposal
from hparam.space import Space
from hparam.strategy_options import make_strategy
from hparam.tuning.plan import first_rung
from hparam.tuning.tune import one_blas_thread
from lr_batch import CHOICE, Asked, Axis, Design, Length, Rounds, Searched
from optim.arguments import explain_arguments, shown

ASK = 16  # settings that a search which learns proposes at a time
# So many settings are tried for each feasible one that is wanted; then the search ends with what it has. Where more
# than half of a space diverges, another space is the better answer.
TRIED_MAX = 2
FIRST_RUNG = "min_steps"  # option of a search with rungs: the length of its first one


@explain_arguments
def search_design(
    space: Space,
    search: str = "quasi_random",
    *,
    trials: int = 64,
    seed: int = 0,
    ask: int = ASK,
    options: Mapping[str, Any] | None = None,
) -> Design:
    """The settings that `search` proposes at each batch size, until `trials` feasible ones are known there.

    A setting is not feasible where it diverged with half of the seeds or more (Shallue et al., 2019, count trials so);
    another is then asked for in its place, up to `TRIED_MAX` times as many as are wanted. A search that does not adapt
    proposes the same settings at all batch sizes, in the same order.

    One with rungs, such as ASHA, ends trials early by the same rule at every batch size: rungs are parts of the budget
    there, the first one a 27th of it. A trial has gone farther than another where it has fewer steps to the goal, or is
    nearer to it; what stops is censored where it stopped. Trials of every seed go on from the beginning, to the same
    numbers, so that nothing but the store is kept between rungs: with rungs three times as long as the one before, this
    costs up to half as much again as going on would. A bracket that is begun is trained as a whole, so that there may
    be more than `trials`; where these are too few to fill all rungs, the best of the highest one goes on to the budget.

    Population based training changes the settings of a trial while it is trained, at a half of the budget, a quarter, and
    so on down to its `interval`; a trial is then a setting with all its changes (`lr_batch.problem.changes`), trained
    with every seed. There are `trials` members, in populations of `size`; those that diverge are replaced by changed
    copies of better ones, and no others are asked for. Once the best member has got to the goal nothing is exchanged any
    more.

    Args:
      space: what is searched; numbers or choices between numbers.
      search: a name of `hparam.SEARCHES`.
      trials: feasible settings at each batch size, from 1 to a million.
      seed: of the draws, from 0 to two million.
      ask: settings that a search which adapts proposes at a time.
      options: of the strategy, such as `{"levels": 4}`; `min_steps`, of the first rung, is a number of steps or a
        `lr_batch.Length`: a part of the budget, or examples, with fewer steps at larger batches; `interval`, of the first
        exchange of a population, is a part of the budget.

    Raises:
      ValueError: one line naming what is wrong.

    >>> from hparam import log, log1m
    >>> space = Space({"learning_rate": log(1e-3, 10), "momentum": log1m(0, 0.999)})
    >>> design = search_design(space, trials=100)
    >>> first = next(design.rounds({32: 900, 64: 900}))
    >>> len(first[32]), first[32] == first[64]
    (100, True)
    >>> first = next(search_design(space, "asha").rounds({32: 900, 64: 450}))
    >>> first[32][0].steps, first[64][0].steps
    (33, 17)
    """
    options = {} if options is None else options
    _check(search, trials, seed, ask, options)
    strategy = SEARCHES[search]
    axes = {name: axis_of(name, dimension) for name, dimension in space.dimensions.items()}
    if strategy.changes:
        return population_design(search, space, axes, trials=trials, seed=seed, options=options)

    def make(batch_size: int, budget: int) -> Search:
        lengths = {"max_steps": budget, FIRST_RUNG: first_rung(budget)}
        given = {**options, **_first_rung(options, batch_size, budget)}
        return make_strategy("search", search, space, trials=trials, options=given, lengths=lengths)

    make(1, 1_000_000)  # says what is wrong
    trials = min(trials, _num_cells(space, search, trials, options) or trials)
    details = {"seed": seed, "options": {name: str(value) for name, value in options.items()}}
    if strategy.adapts:
        details["ask"] = ask
    at_once = ask if strategy.adapts else trials

    def asking(size: int, budget: int) -> Asking:
        key = jax.random.key(seed)
        one = _Asking(make(size, budget), space, budget, key, trials, brackets=strategy.brackets)
        while row := one.ask(at_once):
            one.tell((yield row))

    def rounds(budgets: Mapping[int, int]) -> Rounds:
        return side_by_side({size: asking(size, budget) for size, budget in budgets.items()})

    return Design(Searched(search, axes, trials, details), rounds)


class _Asking:
    """A search at one batch size."""

    def __init__(self, search: Search, space: Space, budget: int, key: Key, trials: int, *, brackets: bool):
        self.search, self.space, self.budget = search, space, budget
        self.key, self.trials, self.brackets = key, trials, brackets
        self.state = search.init()
        self.proposal: Proposal | None = None
        self.losses: dict[tuple[float, ...], float] = {}  # of every setting that was tried, by its values

    @property
    def missing(self) -> int:
        """Settings that are still to be tried."""
        feasible = int(np.isfinite([*self.losses.values()]).sum())
        return max(0, min(self.trials - feasible, TRIED_MAX * self.trials - len(self.losses)))

    def ask(self, most: int) -> list[Asked]:
        """What is trained next: settings for the first time, and those that go on; none where the search has ended."""
        rungs = any(segment.steps for segment in self.state.segments.values())
        number = most if rungs else min(self.missing, most)
        if number == 0:
            return []
        with one_blas_thread():
            # What a state keeps of proposals that are not told is not wanted: some of them are left out.
            proposal, _ = self.search.ask(self.key, self.state, number)
        self.proposal = proposal.take(self._taken(proposal))
        if rungs and not len(self.proposal):
            self.proposal = to_proposal(self.space, self._last())
        return [
            Asked(dict(zip(self.proposal.settings, setting, strict=True)), steps or None)
            for setting, steps in zip(self._settings(), self.proposal.steps.tolist(), strict=True)
        ]

    def _taken(self, proposal: Proposal) -> np.ndarray:
        """Rows that go on, and new ones: as many as are missing, and what belongs to brackets that have begun."""
        fresh = (proposal.continues == FRESH) & (proposal.repeat == 0)
        taken = fresh & (np.cumsum(fresh) <= self.missing)
        if self.brackets:
            begun = {segment.label for segment in self.state.segments.values()} | {
                *proposal.label[taken].tolist()
            }
            taken |= fresh & np.isin(proposal.label, sorted(begun))
        return taken | (proposal.continues != FRESH)

    def _last(self) -> list[Segment]:
        """The best trial of the highest rung up to the budget, where none has come so far: too few were asked for."""
        alive = {i: s for i, s in self.state.segments.items() if np.isfinite(s.known_loss)}
        highest = max((segment.steps for segment in alive.values()), default=self.budget)
        if highest >= self.budget:
            return []
        _, best = min((s.known_loss, i) for i, s in alive.items() if s.steps == highest)
        return [go_on(best, alive[best], self.budget)]

    def tell(self, losses: np.ndarray) -> None:
        assert self.proposal is not None
        self.state = self.search.tell(self.state, self.proposal, losses)
        self.losses |= dict(zip(self._settings(), losses.tolist(), strict=True))

    def _settings(self) -> list[tuple[float, ...]]:
        assert self.proposal is not None
        return [*zip(*(column.tolist() for column in self.proposal.settings.values()), strict=True)]


def _first_rung(options: Mapping[str, Any], batch_size: int, budget: int) -> dict[str, int]:
    """Steps of the first rung at a batch size, where the options say its length."""
    given = options.get(FIRST_RUNG)
    if given is None:
        return {}
    if isinstance(given, Length) and not (np.isfinite(given.value) and given.value >= 0):
        raise ValueError(f"search: {FIRST_RUNG} must be a length of at least one step, got {given}")
    steps = max(1, round(given.in_steps(batch_size, budget))) if isinstance(given, Length) else given
    if isinstance(steps, int) and steps > budget:
        raise ValueError(
            f"search: {FIRST_RUNG} must be at most the budget, which is {budget:,} steps at batch size {batch_size:,}, "
            f"got {given}; a part of the budget, such as 5%, fits all batch sizes"
        )
    return {FIRST_RUNG: steps}


def axis_of(name: str, dimension: Dimension) -> Axis:
    """The range of a dimension as `lr_batch` reads it."""
    if dimension.labels:
        raise ValueError(
            f"search: {name} must be numbers, got {dimension.text}; number the choices, as in choice(0,1)"
        )
    if not dimension.ordered:
        values = dimension.from_unit(dimension.levels(1))
        return Axis(CHOICE, tuple(sorted(map(float, values))))
    kind, _, ends = dimension.text.partition(")")[0].partition("(")  # the canonical text: the ends, exactly
    low, high = map(float, ends.split(","))
    return Axis(kind, (low, high))


def _num_cells(space: Space, search: str, trials: int, options: Mapping[str, Any]) -> int | None:
    """Different settings that there are; None where they have no end."""
    if search == "grid":
        return len(grid_cells(space, options.get("levels") or affordable_levels(space, trials)))
    return len(space.cells() or ()) or None


def _check(search: str, trials: int, seed: int, ask: int, options: Mapping[str, Any]) -> None:
    if not isinstance(search, str):
        raise ValueError(f"search: must be a name of hparam.SEARCHES, got {shown(search)}")
    if not isinstance(options, Mapping):
        raise ValueError(f"search: options must be a mapping from names, got {shown(options)}")
    SEARCHES[search]  # says which names there are
    if "max_steps" in options:
        raise ValueError("search: max_steps is the budget of the study at each batch size; leave it out")
    bounds = {"trials": (trials, 1, 1_000_000), "seed": (seed, 0, 2_000_000), "ask": (ask, 1, 100_000)}
    for field, (value, low, high) in bounds.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ValueError(f"search: {field} must be a whole number, got {shown(value)}")
        if not low <= value <= high:
            raise ValueError(f"search: {field} must be from {low} to {high:,}, got {value:,}")
