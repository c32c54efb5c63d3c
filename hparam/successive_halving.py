"""Successive halving (Jamieson & Talwalkar, 2016)."""

from __future__ import annotations

import numpy as np

from hparam.rungs import Members, fill, finished, go_on, rungs
from hparam.search import Search, Segment, Wanted, make_search
from hparam.space import Space
from optim.arguments import explain_arguments


@explain_arguments
def successive_halving(
    space: Space, min_steps: int = 100, max_steps: int = 2700, eta: int = 3, num: int | None = None
) -> Search:
    """`num` trials to the first rung; the best 1/eta of each rung go on to the next.

    Lanes that a rung leaves empty start the next bracket of the same kind.

    Args:
      min_steps, max_steps: optimizer steps at the first rung (at least) and at
        the last, 1 <= min_steps <= max_steps. In between, each rung is `eta`
        times as long as the one before.
      eta: whole number >= 2.
      num: trials of a bracket, >= 1; default: as many as leave one at the last rung.
    """
    ladder = rungs("successive_halving", min_steps, max_steps, eta)
    size = eta ** (len(ladder) - 1) if num is None else num
    if size < 1:
        raise ValueError(f"successive_halving: num must be >= 1, got {size}")

    def plan(key, state, n) -> Wanted:
        return fill(
            space,
            key,
            state,
            n,
            first_rung=lambda bracket: (size, ladder[0]),
            ready=lambda bracket, members: survivors(members, size, ladder, eta),
        )

    return make_search(space, plan)


def survivors(members: Members, num: int, ladder: tuple[int, ...], eta: int) -> list[Segment]:
    """Segments of the highest rung that the bracket has come to, asked or not.

    Diverged trials never go on, so a rung may have fewer than its share; a
    bracket that keeps at least one trial sends at least one to the top.
    """
    promoted: list[Segment] = []
    size = num
    for here, above in zip(ladder[:-1], ladder[1:], strict=True):
        rung = finished(members, here, size)
        if rung is None:
            break
        alive = [(i, segment) for i, segment in rung if np.isfinite(segment.loss)]
        size = min(max(size // eta, 1), len(alive))
        promoted = [go_on(i, segment, above) for i, segment in alive[:size]]
        if size == 0:
            break
    return promoted
