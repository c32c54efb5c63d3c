"""How long a study still takes, from the chunks that are finished and those in flight."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lr_batch.engine.expected_steps import expected_steps


class Finished(NamedTuple):
    """Chunks of one batch size that are finished: their number, the sum of their steps, and of the seconds that they
    would have taken with all of their lanes."""

    chunks: int = 0
    steps: float = 0.0
    seconds: float = 0.0

    def plus(self, steps: float, seconds: float) -> Finished:
        return Finished(self.chunks + 1, self.steps + steps, self.seconds + seconds)


class Course(NamedTuple):
    """A chunk in flight: steps done, steps at its likely end, and seconds for each; None where no step was timed yet.

    It takes `share` of the time of a chunk whose lanes are all trained.
    """

    batch_size: int
    step: float
    end: float
    seconds_per_step: float | None
    share: float = 1.0


def seconds_left(
    finished: Mapping[int, Finished],
    in_flight: Sequence[Course],
    waiting: Mapping[int, float],
    *,
    steps_at: Callable[[int], int],
    worth: Callable[[int], float],
    at_once: float,
) -> float | None:
    """Seconds until all chunks are finished; None where no step has been timed.

    Args:
      finished: by batch size.
      in_flight: chunks that have begun.
      waiting: how many have not, by batch size, one with fewer lanes being a part of one.
      steps_at: most steps at a batch size.
      worth: of a step at a batch size beside those at others, in time.
      at_once: chunks in flight at a time.
    """
    ends, paces = _means(in_flight, lambda c: c.end), _means(in_flight, _whole_pace)
    ends |= {size: done.steps / done.chunks for size, done in finished.items()}
    paces |= {size: done.seconds / done.steps for size, done in finished.items()}
    if not paces:
        return None

    def pace(batch_size: int) -> float:
        near = min(paces, key=lambda known: abs(math.log(known / batch_size)))
        return paces[near] * worth(batch_size) / worth(near)

    begun = [(c.end - c.step) * (c.seconds_per_step or c.share * pace(c.batch_size)) for c in in_flight]
    whole = {size: min(steps_at(size), expected_steps(ends, size)) * pace(size) for size in waiting}
    together = sum(begun) + sum(number * whole[size] for size, number in waiting.items())
    longest = [min(number, 1.0) * whole[size] for size, number in waiting.items()]
    return max(*begun, *longest, together / at_once, 0.0)


def _whole_pace(course: Course) -> float | None:
    """Seconds of a step of all lanes."""
    return course.seconds_per_step and course.seconds_per_step / course.share


def _means(in_flight: Sequence[Course], value_of: Callable[[Course], float | None]) -> dict[int, float]:
    """By batch size, of those that have a value."""
    grouped: dict[int, list[float]] = defaultdict(list)
    for course in in_flight:
        value = value_of(course)
        if value is not None:
            grouped[course.batch_size].append(value)
    return {size: float(np.mean(values)) for size, values in grouped.items()}
