"""Random search (Bergstra & Bengio, 2012)."""

from __future__ import annotations

from hparam.search import Search, Wanted, generator, make_search
from hparam.space import Space, rows
from hparam.untried import untried_segments
from optim.arguments import explain_arguments


@explain_arguments
def random(space: Space) -> Search:
    """Independent draws, uniform on each dimension's own scale."""

    def plan(key, state, n):
        draws = generator(key, len(state.segments)).random((n, len(space)))
        return Wanted(untried_segments(space, key, state, n, first=rows(space.from_unit(draws))))

    return make_search(space, plan)
