"""Lengths of a training and of its parts: in optimizer steps, in examples, or as a part of the budget."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from lr_batch.fields import whole
from optim.arguments import explain_arguments

BatchSizes = int | Sequence[int] | Int[np.ndarray, " n"]
STEPS, EXAMPLES, BUDGET = "steps", "examples", "budget"
MAX_STEPS = 1_000_000_000  # steps are counted in 32 bits
MAX_EXAMPLES = 1_000_000_000_000_000
FORM = re.compile(r"\s*([-+0-9_.]+(?:[eE][-+]?[0-9]+)?)\s*(%|steps?|examples?|epochs?)?\s*")
ALLOWED = "a whole number of steps, 5% of the budget (or 0.05), 20_000examples or 10epochs"


class Length(NamedTuple):
    """`value` in a `unit`: `STEPS`, `EXAMPLES`, or `BUDGET` for a part of it."""

    value: float
    unit: str

    def in_steps(self, batch_size: int, budget: int) -> float:
        """In optimizer steps, not rounded; exact where the quotient is whole. `budget` is in steps, too."""
        if self.unit == BUDGET:
            return self.value * budget
        return self.value / batch_size if self.unit == EXAMPLES else self.value

    @property
    def typed(self) -> str:
        """As `parse_length` reads it."""
        value = 100 * self.value if self.unit == BUDGET else self.value
        return f"{value:.10g}{ {BUDGET: '%', EXAMPLES: EXAMPLES}.get(self.unit, '') }"

    def __str__(self) -> str:
        if self.unit == BUDGET:
            return f"{100 * self.value:.4g}% of the budget"
        return f"{self.value:,.10g} {self.unit}"


@explain_arguments
def parse_length(what: str, given: Any, num_examples: int) -> Length:
    """Reads a length as people write it.

    A plain number below 1 is a part of the budget, since it cannot be steps; from 1 on it counts steps.

    Args:
      what: begins the message of an error.
      given: a number, or text such as "500", "5%", "20_000examples", "10epochs".
      num_examples: of an epoch.

    Raises:
      ValueError: one line.

    >>> [parse_length("warmup", given, 1000) for given in (0.05, "5%", 100, "2epochs")]
    ... # doctest: +NORMALIZE_WHITESPACE
    [Length(value=0.05, unit='budget'), Length(value=0.05, unit='budget'),
     Length(value=100.0, unit='steps'), Length(value=2000.0, unit='examples')]
    """
    wrong = ValueError(f"{what} must be {ALLOWED}, got {given!r}")
    number, unit = given, None
    if isinstance(given, str):
        if not (found := FORM.fullmatch(given)):
            raise wrong
        number, unit = found[1], found[2] and found[2].rstrip("s")
    try:
        value = float(number)
    except (TypeError, ValueError):
        raise wrong from None
    if isinstance(given, bool | np.bool_) or not math.isfinite(value) or value < 0:
        raise wrong
    if unit == "%":
        return Length(value / 100, BUDGET)
    if unit in ("epoch", "example"):
        return Length(value * (num_examples if unit == "epoch" else 1), EXAMPLES)
    if unit is None and 0 < value < 1:
        return Length(value, BUDGET)
    if not value.is_integer():
        raise wrong
    return Length(value, STEPS)


@explain_arguments
def parse_budget(given: Any, num_examples: int) -> int | Length:
    """Optimizer steps, the same at every batch size, or a `Length` in examples.

    Raises:
      ValueError: in one line: no length, or of the budget itself.

    >>> parse_budget("10epochs", 1000), parse_budget(500, 1000)
    (Length(value=10000.0, unit='examples'), 500)
    """
    if isinstance(given, Length) and given.unit == EXAMPLES:
        return given
    if not isinstance(given, str):
        return whole("budget", given, low=1, high=MAX_STEPS)
    length = parse_length("study: budget", given, num_examples)
    if length.unit == BUDGET or length.value <= 0:
        raise ValueError(
            f"study: budget must be a number of steps, 50_000examples or 10epochs, got {given!r}"
        )
    if length.unit != EXAMPLES:
        return whole("budget", length.value, low=1, high=MAX_STEPS)
    if length.value > MAX_EXAMPLES:  # which steps are counted of by 64-bit integers
        raise ValueError(f"study: budget must be of at most {MAX_EXAMPLES:,} examples, got {given!r}")
    return length


@explain_arguments
def steps_within(budget: int | Length, batch_size: BatchSizes) -> Any:
    """Most optimizer steps of a trial at a batch size, or at each of several; the last one ends the budget.

    >>> steps_within(100, 8), steps_within(Length(1000, EXAMPLES), 64)
    (100, 16)
    """
    if not isinstance(budget, Length):
        return budget if np.ndim(batch_size) == 0 else np.full(np.shape(batch_size), budget)
    steps = np.ceil(np.round(budget.value / np.asarray(batch_size), 6)).astype(int)
    return steps if steps.ndim else int(steps)
