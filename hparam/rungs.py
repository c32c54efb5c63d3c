"""Trials that are compared with each other and advance together: brackets and populations.

A search by cohorts fills its lanes from the oldest cohort that has segments
ready, and opens a new one where lanes are left: no lane waits for a rung.
"""

from __future__ import annotations

from collections.abc import Callable

from hparam.search import FRESH, Key, Segment, State, Wanted, segment_id
from hparam.space import Space
from hparam.untried import untried_segments

Members = dict[int, Segment]  # by id


def fill(
    space: Space,
    key: Key,
    state: State,
    n: int,
    first_rung: Callable[[int], tuple[int, int]],
    ready: Callable[[int, Members], list[Segment]],
) -> Wanted:
    """`n` segments, older cohorts first, those that go on before those that start.

    Args:
      first_rung: `cohort -> (size, steps)`: how many trials it starts with, and for how long.
      ready: `(cohort, members) -> segments` that may go on, some of them perhaps asked already.
    """
    cohorts: dict[int, Members] = {}
    for i, segment in state.segments.items():
        cohorts.setdefault(segment.label, {})[i] = segment
    segments: list[Segment] = []
    cohort = 0
    while True:
        members = cohorts.get(cohort, {})
        going_on = [s for s in ready(cohort, members) if segment_id(space, s) not in members]
        segments += going_on[: n - len(segments)]
        size, steps = first_rung(cohort)
        started = sum(s.continues == FRESH and s.steps == steps for s in members.values())
        room = max(min(size - started, n - len(segments)), 0)
        segments += untried_segments(space, key, state, room, planned=segments, steps=steps, label=cohort)
        if len(segments) == n:
            return Wanted(segments)
        cohort += 1


def go_on(segment_id: int, segment: Segment, steps: int) -> Segment:
    """The same trial from where `segment` ended up to `steps`."""
    return segment._replace(start=segment.steps, steps=steps, continues=segment_id, loss=None)


def finished(members: Members, steps: int, size: int) -> list[tuple[int, Segment]] | None:
    """The `size` members of one rung, best first (ties by id); None while one is missing or runs."""
    rung = [(i, segment) for i, segment in members.items() if segment.steps == steps]
    if len(rung) < size or not all(segment.told for _, segment in rung):
        return None
    return sorted(rung, key=lambda member: (member[1].known_loss, member[0]))


def rungs(owner: str, min_steps: int, max_steps: int, eta: int) -> tuple[int, ...]:
    """Ascending step counts `max_steps / eta**k`, none below `min_steps`.

    >>> rungs("asha", 100, 2700, 3)
    (100, 300, 900, 2700)
    """
    if not 1 <= min_steps <= max_steps:
        raise ValueError(f"{owner}: min_steps must be in [1, max_steps], got {min_steps} and {max_steps}")
    if eta < 2:
        raise ValueError(f"{owner}: eta must be >= 2, got {eta}")
    # Integer arithmetic: a logarithm would lose the last rung to rounding.
    ladder = [max_steps]
    while round(max_steps / eta ** len(ladder)) >= min_steps:
        ladder.append(round(max_steps / eta ** len(ladder)))
    return tuple(reversed(ladder))
