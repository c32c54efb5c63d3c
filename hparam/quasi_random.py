"""Quasi-random search: the scrambled Sobol sequence (Sobol, 1967; Owen, 1995).

Covers the space more evenly than random search at the same cost, and any first
part of it is a search of its own; the search of Shallue et al. (2019).
"""

from __future__ import annotations

from hparam.search import Search, Wanted, make_search
from hparam.space import Space
from hparam.untried import untried_segments
from optim.arguments import explain_arguments


@explain_arguments
def quasi_random(space: Space) -> Search:
    """The next points of one scrambled Sobol sequence; the key is its scramble."""
    return make_search(space, lambda key, state, n: Wanted(untried_segments(space, key, state, n)))
