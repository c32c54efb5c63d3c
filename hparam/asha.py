"""Asynchronous successive halving, ASHA (Li et al., 2020, Algorithm 2)."""

from __future__ import annotations

import numpy as np

from hparam.rungs import go_on, rungs
from hparam.search import Search, Segment, State, Wanted, make_search
from hparam.space import Space
from hparam.untried import untried_segments
from optim.arguments import explain_arguments


@explain_arguments
def asha(
    space: Space, min_steps: int = 100, max_steps: int = 2700, eta: int = 3, *, full_chunks: bool = False
) -> Search:
    """Promotes what is in the best 1/eta of its rung so far, and never waits for a rung to fill.

    The highest rung goes first; lanes that are left start new trials.

    Args:
      min_steps, max_steps, eta: as in `successive_halving`.
      full_chunks: promote only where a rung has enough for all n lanes, so that
        every proposal is one chunk in lock-step. Best with many trials: the
        k-th rung opens after n eta^k of them.
    """
    ladder = rungs("asha", min_steps, max_steps, eta)

    def plan(key, state, n):
        promoted: list[Segment] = []
        for here, above in reversed(list(zip(ladder[:-1], ladder[1:], strict=True))):
            ready = promotable(state, here, above, eta)
            if full_chunks and len(ready) >= n:
                return Wanted(ready[:n])
            promoted += [] if full_chunks else ready
        promoted = promoted[:n]
        return Wanted(promoted + untried_segments(space, key, state, n - len(promoted), steps=ladder[0]))

    return make_search(space, plan)


def promotable(state: State, here: int, above: int, eta: int) -> list[Segment]:
    """Segments that go on from rung `here`, best first: in its top 1/eta, not diverged, not yet asked."""
    rung = [(s.known_loss, i) for i, s in state.segments.items() if s.steps == here and s.told]
    top = sorted(rung)[: len(rung) // eta]
    gone = {segment.continues for segment in state.segments.values() if segment.steps == above}
    return [go_on(i, state.segments[i], above) for loss, i in top if np.isfinite(loss) and i not in gone]
