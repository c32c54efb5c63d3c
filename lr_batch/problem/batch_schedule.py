"""A batch size that changes within a trial: from stated steps or examples on, by a factor or to a size.

What a smaller rate does, a larger batch does too (Smith & Le, 2018; Smith et al., 2018). The size of each step reaches a
chunk as a traced table, so that one program serves every schedule of as many phases; a step's examples are the next
ones in the order of the seed, whatever the sizes of the steps before it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from lr_batch.problem.lengths import BUDGET, EXAMPLES, BatchSizes, Length, parse_length, steps_within
from optim.arguments import explain_arguments

FACTOR = re.compile(r"x\s*([0-9.]+)")
FORM = (
    "SIZE@START,... such as x2@5epochs,x4@10epochs, where SIZE is a factor or a number of examples, and START a number \
of steps, 25% of the budget, 20_000examples or 5epochs"
)


class Phase(NamedTuple):
    """From `start` on batches have `size` times as many examples as at first; `size` examples where it is `absolute`."""

    start: Length
    size: float
    absolute: bool = False

    def of(self, batch_size: int) -> int:
        """Examples of a batch, of trials that begin with `batch_size`."""
        return round(self.size) if self.absolute else round(self.size * batch_size)

    def __str__(self) -> str:
        return f"{'' if self.absolute else 'x'}{self.size:.10g}@{self.start.typed}"


class BatchSchedule(NamedTuple):
    """Phases with ascending starts of one unit; before the first one batches have the size that the study names.

    >>> growing = BatchSchedule((Phase(Length(100, "steps"), 2.0), Phase(Length(300, "steps"), 4.0)))
    >>> growing.table(16, 1000).tolist()
    [[0, 16], [100, 32], [300, 64]]
    >>> str(growing), growing.examples(16, 1000, 200)
    ('x2@100,x4@300', 4800)
    """

    phases: tuple[Phase, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.phases))

    @property
    def described(self) -> list[list[Any]]:
        """The form that is hashed and stored, JSON-like; `read` is the inverse."""
        return [[*phase.start, phase.size, phase.absolute] for phase in self.phases]

    @classmethod
    def read(cls, described: Sequence[Sequence[Any]]) -> BatchSchedule:
        return cls(tuple(Phase(Length(value, unit), *size) for value, unit, *size in described))

    def sizes(self, batch_size: int) -> tuple[int, ...]:
        """All sizes of the trials that begin with `batch_size`."""
        return (batch_size, *(phase.of(batch_size) for phase in self.phases))

    def all_sizes(self, batch_sizes: Sequence[int]) -> tuple[int, ...]:
        """All sizes that the batch of a step may have, ascending; trials begin with `batch_sizes`."""
        return tuple(sorted({size for first in batch_sizes for size in self.sizes(first)}))

    def table(self, batch_size: int, budget: int | Length) -> Int[np.ndarray, "phases 2"]:
        """Rows of (first step, size)."""
        rows, examples = [(0, batch_size)], 0.0
        for phase in self.phases:
            first, size = rows[-1]
            start = self._in_steps_or_examples(phase.start, budget)
            if start.unit == EXAMPLES:
                step = first + max(0, math.ceil(round((start.value - examples) / size, 6)))
            else:
                step = math.ceil(round(start.value, 6))
            examples += (step - first) * size
            rows.append((step, phase.of(batch_size)))
        return np.array(rows, np.int32)

    @staticmethod
    def _in_steps_or_examples(start: Length, budget: int | Length) -> Length:
        if start.unit != BUDGET:
            return start
        if isinstance(budget, Length):
            return budget._replace(value=start.value * budget.value)
        return Length(start.value * budget, "steps")

    def examples(self, batch_size: int, budget: int | Length, steps: Any) -> Any:
        """Examples of the first `steps`, one number or several; part of a step counts as that part."""
        starts, sizes = self.table(batch_size, budget).T.astype(float)
        before = np.concatenate([[0.0], np.cumsum(np.diff(starts) * sizes[:-1])])
        row = np.searchsorted(starts, np.asarray(steps, float), side="right") - 1
        total = before[row] + (steps - starts[row]) * sizes[row]
        return total if np.ndim(total) else float(total) if total % 1 else int(total)

    def steps(self, batch_size: int, budget: int | Length, examples: float) -> float:
        """Steps that take so many examples, not rounded: the inverse of `examples`."""
        starts, sizes = self.table(batch_size, budget).T.astype(float)
        before = np.concatenate([[0.0], np.cumsum(np.diff(starts) * sizes[:-1])])
        row = int(np.searchsorted(before, examples, side="right")) - 1
        return float(starts[row] + (examples - before[row]) / sizes[row])


@explain_arguments
def steps_of_trials(budget: int | Length, batch_size: BatchSizes, schedule: BatchSchedule | None) -> Any:
    """Most optimizer steps of a trial at a batch size, or at each of several, where batches may grow."""
    if schedule is None or not isinstance(budget, Length):
        return steps_within(budget, batch_size)
    sizes = np.asarray(batch_size)
    steps = [
        math.ceil(round(schedule.steps(int(size), budget, budget.value), 6)) for size in sizes.reshape(-1)
    ]
    return np.array(steps) if sizes.ndim else steps[0]


def parse_batch_schedule(given: Any, num_examples: int) -> BatchSchedule | None:
    """Reads "x2@5epochs,x4@10epochs", or a list of (start, size).

    Args:
      given: text, a list, or what is read already; None for batches that do not change.
      num_examples: of an epoch, and of the largest batch.

    Raises:
      ValueError: in one line.

    >>> str(parse_batch_schedule([(100, "x2"), (200, 64)], 1000))
    'x2@100,64@200'
    """
    if given is None or isinstance(given, BatchSchedule):
        return given
    wrong = ValueError(f"study: batch_schedule must look like {FORM}, got {given!r}")
    if isinstance(given, str):
        parts = [part.strip().split("@") for part in given.split(",")]
        if any(len(part) != 2 for part in parts):
            raise wrong
        given = [(start, size) for size, start in parts]
    if not isinstance(given, Sequence) or not given or isinstance(given, Mapping):
        raise wrong
    phases = [_phase(pair, num_examples, wrong) for pair in given]
    units = {phase.start.unit for phase in phases}
    if len(units) > 1:
        raise ValueError(
            f"study: starts of batch_schedule must have one unit, got {' and '.join(sorted(units))}"
        )
    starts = [phase.start.value for phase in phases]
    if starts[0] <= 0 or any(later <= earlier for earlier, later in zip(starts, starts[1:], strict=False)):
        raise ValueError(f"study: starts of batch_schedule must be above 0 and ascend, got {given!r}")
    return BatchSchedule(tuple(phases))


def _phase(pair: Any, num_examples: int, wrong: ValueError) -> Phase:
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise wrong
    start, size = pair
    factor = FACTOR.fullmatch(size.strip()) if isinstance(size, str) else None
    try:
        number = float(factor[1] if factor else size)
    except (TypeError, ValueError):
        raise wrong from None
    if not (math.isfinite(number) and number > 0 and (factor or number == int(number))):
        raise wrong
    return Phase(parse_length("study: start of batch_schedule", start, num_examples), number, not factor)


def read_batch_schedule(given: Any, batch_sizes: Sequence[int], num_examples: int) -> BatchSchedule | None:
    """The schedule, which `parse_batch_schedule` reads, of studies of some batch sizes.

    Raises:
      ValueError: in one line: also where it gives sizes that are no number of examples, or more than there are.
    """
    schedule = parse_batch_schedule(given, num_examples)
    for batch_size in batch_sizes:
        for phase in schedule.phases if schedule else ():
            size = phase.of(batch_size)
            if not 1 <= size <= num_examples:
                raise ValueError(
                    f"study: batch_schedule gives batches of {size:,} examples to the batch size {batch_size:,}, from "
                    f"{phase.start} on; they must be from 1 to the {num_examples:,} training examples"
                )
    return schedule
