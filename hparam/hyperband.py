"""Hyperband (Li et al., 2018, Algorithm 1): successive halving at each trade-off of number against length."""

from __future__ import annotations

import math

from hparam.rungs import fill, rungs
from hparam.search import Search, Wanted, make_search
from hparam.space import Space
from hparam.successive_halving import survivors
from optim.arguments import explain_arguments


@explain_arguments
def hyperband(space: Space, min_steps: int = 100, max_steps: int = 2700, eta: int = 3) -> Search:
    """Brackets s = s_max, ..., 0, again and again.

    Bracket s starts n = ceil((s_max + 1) eta^s / (s + 1)) trials at the rung
    max_steps / eta^s, so that all brackets cost about the same; s = 0 is random
    search at full length. The trials are quasi-random, where the paper draws them.

    Args:
      min_steps, max_steps, eta: as in `successive_halving`.
    """
    ladder = rungs("hyperband", min_steps, max_steps, eta)

    def bracket(cohort: int) -> tuple[int, tuple[int, ...]]:
        """Number of trials and the rungs."""
        s = len(ladder) - 1 - cohort % len(ladder)
        return math.ceil(len(ladder) * eta**s / (s + 1)), ladder[len(ladder) - 1 - s :]

    def first_rung(cohort):
        num, steps = bracket(cohort)
        return num, steps[0]

    def ready(cohort, members):
        num, steps = bracket(cohort)
        return survivors(members, num, steps, eta)

    def plan(key, state, n) -> Wanted:
        return fill(space, key, state, n, first_rung, ready)

    return make_search(space, plan)
