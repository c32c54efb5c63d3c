"""How long a study still takes, from the chunks that are finished and those in flight."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lr_batch.engine.expected_steps import expected_steps

# Of the steps that chunks elsewhere tell to expect: a chunk that has done so many of them is believed its own end.
OWN_STEPS = 0.25


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

    def informed_by(self, end: float, pace: float) -> Course:
        """With the end and the seconds of a step that finished chunks tell to expect, as long as little of this one is
        done.

        After four steps the metric tells nothing of an end after thousands, and the time of the first ones little of that
        of a step. The weight of what the chunk itself says grows to 1 with the steps done.
        """
        own = min(1.0, self.step / (OWN_STEPS * end))
        likely = self.end**own * end ** (1 - own)
        seconds = (self.seconds_per_step or pace) ** own * pace ** (1 - own)
        return self._replace(end=max(self.step, likely), seconds_per_step=seconds)


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
    ends = {size: done.steps / done.chunks for size, done in finished.items()}
    paces = {size: done.seconds / done.steps for size, done in finished.items()}

    def pace(batch_size: int) -> float:
        near = nearest(paces, batch_size)
        return paces[near] * worth(batch_size) / worth(near)

    def end(batch_size: int) -> float:
        return min(float(steps_at(batch_size)), expected_steps(ends, batch_size))

    if finished:
        in_flight = [c.informed_by(end(c.batch_size), c.share * pace(c.batch_size)) for c in in_flight]
    ends = _means(in_flight, lambda c: c.end) | ends
    paces = _means(in_flight, _whole_pace) | paces
    if not paces:
        return None
    begun = [(c.end - c.step) * (c.seconds_per_step or c.share * pace(c.batch_size)) for c in in_flight]
    whole = {size: end(size) * pace(size) for size in waiting}
    together = sum(begun) + sum(number * whole[size] for size, number in waiting.items())
    longest = [min(number, 1.0) * whole[size] for size, number in waiting.items()]
    return max(*begun, *longest, together / at_once, 0.0)


def nearest(known: Iterable[int], batch_size: int) -> int:
    """Of the batch sizes that are known, by their ratio."""
    return min(known, key=lambda size: abs(math.log(size / batch_size)))


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
