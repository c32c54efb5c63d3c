"""New settings, never the same twice: what every strategy fills its lanes with."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float

from hparam.search import FRESH, Key, Segment, State, generator
from hparam.space import Space, rows


def sobol(key: Key, dims: int, start: int, num: int) -> Float[np.ndarray, "num dims"]:
    """Points `start` to `start + num` of the scrambled Sobol sequence of `key` (Owen, 1995)."""
    from scipy.stats import qmc  # Imported here: it takes most of a second.

    # Drawn from the beginning and by powers of two, where the sequence is balanced.
    power = int(np.ceil(np.log2(start + num)))
    return qmc.Sobol(dims, scramble=True, rng=generator(key)).random_base2(power)[start : start + num]


def untried_segments(
    space: Space,
    key: Key,
    state: State,
    n: int,
    *,
    first: Iterable[tuple[float, ...]] = (),
    planned: Iterable[Segment] = (),
    **fields: int,
) -> list[Segment]:
    """`n` segments that start from new parameters, each with a setting not asked before.

    Settings come from `first`, then from the Sobol sequence of `key`. Where a
    finite space is used up, settings get a further seed, the least repeated and
    then the best first. `planned` are segments already in the same proposal;
    `fields` are those of every new `Segment`.
    """
    asked = [s for s in (*state.segments.values(), *planned) if s.continues == FRESH]
    repeats = Counter(space.hash(segment.setting) for segment in asked)
    cells = space.cells()
    segments: list[Segment] = []
    for setting in itertools.chain(first, _unseen(space, key, len(asked), repeats, cells)):
        if len(segments) == n:
            return segments
        if repeats[space.hash(setting)] == 0:
            repeats[space.hash(setting)] += 1
            segments.append(Segment(setting, **fields))
    missing = n - len(segments)
    return segments + (_further_seeds(space, state, cells, repeats, missing, fields) if missing else [])


def _unseen(
    space: Space, key: Key, start: int, repeats: Counter, cells: list | None
) -> Iterator[tuple[float, ...]]:
    """Sobol settings without end, or until the last cell of a finite space was seen."""
    batch = 64
    while cells is None or len(repeats) < len(cells):
        before = len(repeats)
        yield from rows(space.from_unit(sobol(key, len(space), start, batch)))
        start += batch
        if cells is not None and len(repeats) == before:
            # The sequence keeps hitting known cells: go through those that are left.
            yield from cells


def _further_seeds(space, state, cells, repeats, n, fields) -> list[Segment]:
    losses = {space.hash(s.setting): s.loss for s in state.told if s.continues == FRESH}
    hashes = {cell: space.hash(cell) for cell in cells}
    queue = [(repeats[name], losses.get(name, np.inf), cell) for cell, name in hashes.items()]
    heapq.heapify(queue)
    taken = [heapq.heapreplace(queue, (queue[0][0] + 1, *queue[0][1:])) for _ in range(n)]
    return [Segment(cell, repeat=repeat, **fields) for repeat, _, cell in taken]
