"""The rounds of a study from what a search asks for at each batch size."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from lr_batch import Asked, Rounds

# What is asked for at one batch size, round after round; what comes back: a loss of each, infinite where it diverged.
Asking = Generator[Sequence[Asked], Float[np.ndarray, " asked"], None]


def side_by_side(asking: Mapping[int, Asking]) -> Rounds:
    """The rounds of all batch sizes together; each ends when its search does."""
    wanted = {size: row for size, one in asking.items() if (row := next(one, ()))}
    while wanted:
        told = yield wanted
        wanted = {size: row for size in wanted if (row := _answered(asking[size], told[size]))}


def _answered(one: Asking, losses: Float[np.ndarray, " asked"]) -> Sequence[Asked]:
    """What is asked for after `losses`; nothing where the search has ended."""
    try:
        return one.send(losses)
    except StopIteration:
        return ()
