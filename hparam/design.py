"""Any search at every batch size of a study: the settings of `lr_batch.Study(design=...)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hparam.dimension import Dimension
from hparam.grid import affordable_levels, grid_cells
from hparam.registry import SEARCHES
from hparam.search import Key, Proposal, Search, State
from hparam.space import Space
from hparam.strategy_options import make_strategy
from hparam.tuning.tune import one_blas_thread
from lr_batch import CHOICE, Axis, Design, Rounds, Searched

ASK = 16  # settings that a search which learns proposes at a time
# So many settings are tried for each feasible one that is wanted; then the search ends with what it has. Where more
# than half of a space diverges, another space is the better answer.
TRIED_MAX = 2


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

    Args:
      space: what is searched; numbers or choices between numbers.
      search: a name of `hparam.SEARCHES` that trains each setting once and whole.
      trials: feasible settings at each batch size, from 1 to a million.
      seed: of the draws, from 0 to two million.
      ask: settings that a search which adapts proposes at a time.
      options: of the strategy, such as `{"levels": 4}`.

    Raises:
      ValueError: one line naming what is wrong.

    >>> from hparam import log, log1m
    >>> space = Space({"learning_rate": log(1e-3, 10), "momentum": log1m(0, 0.999)})
    >>> design = search_design(space, trials=100)
    >>> first = next(design.rounds((32, 64)))
    >>> len(first[32]), first[32] == first[64]
    (100, True)
    """
    _check(search, trials, seed, ask)
    make = lambda: make_strategy("search", search, space, trials=trials, options=options or {})
    make()  # says what is wrong
    trials = min(trials, _num_cells(space, search, trials, options or {}) or trials)
    details = {"seed": seed, "options": {name: str(value) for name, value in (options or {}).items()}}
    axes = {name: axis_of(name, dimension) for name, dimension in space.dimensions.items()}
    if SEARCHES[search].adapts:
        details["ask"] = ask
    at_once = ask if SEARCHES[search].adapts else trials

    def rounds(batch_sizes: Sequence[int]) -> Rounds:
        asking = {size: _Asking(make(), jax.random.key(seed), trials) for size in batch_sizes}
        while wanted := {size: one.ask(at_once) for size, one in asking.items() if one.missing}:
            wanted = {size: proposed for size, proposed in wanted.items() if proposed}
            if not wanted:
                break
            told = yield wanted
            for size in wanted:
                asking[size].tell(told[size])

    return Design(Searched(search, axes, trials, details), rounds)


class _Asking:
    """A search at one batch size."""

    def __init__(self, search: Search, key: Key, trials: int):
        self.search, self.key, self.trials = search, key, trials
        self.state: State = search.init()
        self.proposal: Proposal | None = None
        self.tried = self.feasible = 0
        self.used_up = False

    @property
    def missing(self) -> int:
        """Settings that are still to be tried."""
        left = min(self.trials - self.feasible, TRIED_MAX * self.trials - self.tried)
        return 0 if self.used_up else left

    def ask(self, most: int) -> list[dict[str, float]]:
        """The next settings, each of them for the first time; none where the space is used up."""
        number = min(self.missing, most)
        with one_blas_thread():
            proposal, self.state = self.search.ask(self.key, self.state, number)
        self.proposal = proposal.take(proposal.repeat == 0)
        self.used_up = len(self.proposal) < number
        columns = self.proposal.settings
        return [
            {name: float(column[i]) for name, column in columns.items()} for i in range(len(self.proposal))
        ]

    def tell(self, losses: np.ndarray) -> None:
        assert self.proposal is not None
        self.state = self.search.tell(self.state, self.proposal, losses)
        self.tried += len(losses)
        self.feasible += int(np.isfinite(losses).sum())


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


def _check(search: str, trials: int, seed: int, ask: int) -> None:
    if SEARCHES[search].rungs:
        whole = ", ".join(name for name in SEARCHES if not SEARCHES[name].rungs)
        raise ValueError(
            f"search: {search} compares trials before they end, so it cannot look for the fewest steps to a goal; "
            f"take one that trains each setting whole: {whole}"
        )
    bounds = {"trials": (trials, 1, 1_000_000), "seed": (seed, 0, 2_000_000), "ask": (ask, 1, 100_000)}
    for field, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise ValueError(f"search: {field} must be from {low} to {high:,}, got {value:,}")
