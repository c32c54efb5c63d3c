"""Population based training at every batch size of a study: a member is a setting that changes while it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from hparam.asking import Asking, side_by_side
from hparam.population import exchanging
from hparam.search import FRESH, Key, Segment, State, segments_of
from hparam.space import Space
from hparam.strategy_options import make_strategy
from lr_batch import Asked, Axis, Changes, Design, Length, Searched
from optim.arguments import shown

SIZE = 16  # members of a population
FIRST = "interval"  # option: the part of the budget at which members are exchanged for the first time
FIRST_SHARE = 1 / 32


def population_design(
    search: str,
    space: Space,
    axes: Mapping[str, Axis],
    *,
    trials: int,
    seed: int,
    options: Mapping[str, Any],
) -> Design:
    """Populations of `trials` members in all, exchanged at halves of the budget; see `search_design`."""
    rest = {name: value for name, value in options.items() if name != FIRST}
    make_strategy("search", search, space, trials=trials, options=rest)  # says what is wrong
    size = rest.pop("size", max(2, min(SIZE, trials)))
    members = -(-trials // size) * size
    cells = space.cells()
    if cells is not None and len(cells) < members:
        raise ValueError(
            f"search: {search} begins with {members:,} different settings, got a space of {len(cells):,}: ask for fewer "
            "trials or take another search"
        )
    # With its size, since another population is another search.
    told = {name: str(value) for name, value in {**options, "size": size}.items()}
    details = {"seed": seed, "options": told}
    shares = shares_from(first_share(options.get(FIRST, FIRST_SHARE)))
    searched = Searched(search, axes, members, details, shares)
    given = {"size": size, "truncation": 0.2, "step": 0.1, "resample": 0.25} | rest

    def rounds(budgets: Mapping[int, int]):
        key = jax.random.key(seed)
        return side_by_side(
            {size: asking(searched, space, budget, key, **given) for size, budget in budgets.items()}
        )

    return Design(searched, rounds)


def first_share(given: Any) -> float:
    """The part of the budget in what was given."""
    share = given.value if isinstance(given, Length) and given.unit == "budget" else given
    if isinstance(share, bool) or not isinstance(share, float) or not 0 < share <= 0.5:
        raise ValueError(
            f"search: {FIRST} must be a part of the budget up to 50%, such as 3%, got "
            f"{given if isinstance(given, Length) else shown(given)}"
        )
    return share


def shares_from(first: float) -> tuple[float, ...]:
    """A half of the budget, a quarter, and so on down to `first`; ascending.

    >>> shares_from(0.1)
    (0.125, 0.25, 0.5)
    """
    halves = [0.5]
    while halves[0] / 2 >= first:
        halves.insert(0, halves[0] / 2)
    return tuple(halves)


def asking(searched: Searched, space: Space, budget: int, key: Key, **options: Any) -> Asking:
    """What is trained at one batch size, generation after generation, until a member has got to the goal.

    All trials begin from new parameters, so that nothing but the store is kept between generations: a member is trained
    again up to where it changes, to the same numbers.
    """
    exchanges = searched.exchanges(budget)
    search = exchanging(space, [*exchanges], budget, **options)
    state, changes = search.init(), Changes(tuple(searched.axes), len(searched.changes))
    as_asked = lambda segment, end: Asked(lineage(segment, state, exchanges, changes, searched), end)
    while True:
        proposal, _ = search.ask(key, state, searched.trials)
        begun = proposal.continues != FRESH
        proposal = proposal.take(begun if state.segments else ~begun & (proposal.repeat == 0))
        if not len(proposal):
            return
        end, members = int(proposal.steps[0]), segments_of(proposal)
        losses = yield [as_asked(member, end if end < budget else None) for member in members]
        state = search.tell(state, proposal, losses)
        # Nothing is compared any more once the best member is at the goal: what is left is trained while the race lasts.
        if end < budget and np.nanmin([*losses, np.inf]) < np.log(end):
            alive = [member for member, loss in zip(members, losses, strict=True) if np.isfinite(loss)]
            yield [as_asked(member, None) for member in alive]
            return


def lineage(
    member: Segment, state: State, exchanges: Mapping[int, int], changes: Changes, searched: Searched
) -> dict[str, float]:
    """All settings of a member as one, see `lr_batch.problem.changes`; after its last change the last one goes on."""
    names, pieces = list(searched.axes), [dict[str, float]()] * (changes.number + 1)
    while True:
        first = exchanges.get(member.start, 0)
        setting = dict(zip(names, member.setting, strict=True))
        pieces = [own or (setting if i >= first else own) for i, own in enumerate(pieces)]
        if member.continues == FRESH:
            return changes.setting(pieces, searched.changes)
        member = state.segments[member.continues]
