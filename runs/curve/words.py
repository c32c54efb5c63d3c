"""Numbers of a study in running text: whole batch sizes, intervals, and no more than was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lr_batch import CriticalBatchSize, Estimate, Optimum, Result
from optim.names import counted


def batch(value: float, measured: tuple[int, int]) -> str:
    """A batch size; outside the measured ones only on which side it lies.

    >>> batch(7.3, (1, 512)), batch(0.4, (1, 512)), batch(703.0, (1, 512))
    ('7', 'below 1', 'above 512')
    """
    first, last = measured
    if value > last:
        return f"above {last:,}"
    return f"below {first:,}" if value < first else f"{max(round(value), 1):,}"


def batch_estimate(estimate: Estimate, measured: tuple[int, int]) -> str:
    """A batch size with its interval.

    >>> batch_estimate(Estimate(174.0, 112.0, 703.0), (1, 512))
    '174 (112 to above 512)'
    >>> batch_estimate(Estimate(600.0, 520.0, 703.0), (1, 512))
    'above 512'
    """
    best, low, high = (batch(value, measured) for value in estimate)
    return best if low == high else f"{best} ({low} to {high})"


def batch_span(estimate: Estimate, measured: tuple[int, int]) -> str:
    """The interval of a batch size alone.

    >>> batch_span(Estimate(9.0, 8.5, 12.0), (1, 8))
    'above 8'
    """
    low, high = batch(estimate.low, measured), batch(estimate.high, measured)
    return low if low == high else f"{low} to {high}"


def critical_batch(critical: CriticalBatchSize) -> str:
    return batch_estimate(Estimate(critical.value, critical.low, critical.high), critical.range)


def counts_examples(critical: CriticalBatchSize) -> bool:
    """Whether S_min B_crit is the fewest examples: it counts batches of the first size, and batches may grow."""
    counted = [(one.examples, one.steps * one.batch_size) for one in critical.optima if one.steps is not None]
    return all(examples is None or math.isclose(examples, steps) for examples, steps in counted)


def noise_words(noise: Mapping[str, Any]) -> str:
    """A noise scale with its interval and where it was taken; null, where JSON has no number, is without end.

    >>> noise_words({"best": 21.5, "low": 15.4, "high": None, "batch_size": 32, "steps": 96})
    '22 (15 to infinite) over 96 steps at batch 32'
    """
    best, low, high = ("infinite" if noise[x] is None else count(noise[x]) for x in ("best", "low", "high"))
    return f"{best} ({low} to {high}) over {noise['steps']:,} steps at batch {noise['batch_size']:,}"


def trials(result: Result) -> str:
    """How many there are; where the best rate was followed, as "302 of the grid's 704 trials (43%)"."""
    measured, grid = result.num_trials, result.grid_trials
    if grid is None:
        return counted(measured, "trial")
    if measured > grid:  # a small one that grew
        return f"{measured:,} trials, those at rates beyond the grid of {grid:,} among them"
    return f"{measured:,} of the grid's {grid:,} trials ({percent(measured / grid)})"


def count(value: float) -> str:
    """Steps or examples: 2.4, 92, 3,132."""
    return f"{value:.2g}" if value < 9.95 else f"{value:,.0f}"


def interval(low: float | None, high: float | None) -> str:
    """ " (85 to 99)", or nothing where there is none."""
    if low is None or high is None or not low <= high:
        return ""
    return f" ({count(low)} to {count(high)})"


def percent(share: float) -> str:
    """A share as a whole percentage, which is at least 0."""
    return f"{max(share, 0.0):.0%}"


def why_no_rate(result: Result) -> str:
    """Why no learning rate is drawn against the batch size, where `Result.has_rate` is false."""
    if "learning_rate" in result.hparams:
        return "no trial has one learning rate: it changes while it is trained"
    return "the learning rate was not varied in this study"


def middle_words(optima: Sequence[Optimum]) -> str:
    """What the steps of each batch size are; not every study has a best rate: settings may change on the way.

    >>> middle_words([])
    'median at the best setting'
    """
    return (
        "median at the best rate"
        if any(row.learning_rate for row in optima)
        else "median at the best setting"
    )
