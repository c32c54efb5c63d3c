"""What a study means for the person who asked, in plain language."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lr_batch import (
    DIVERGED,
    REACHED,
    TOLERANCE,
    CriticalBatchSize,
    Estimate,
    LearningRateLaw,
    Optimum,
    Result,
    Slope,
)
from optim.names import listed
from runs.curve.law_words import law_advice, rate_of_law
from runs.curve.lineages import changed, lineage_words
from runs.curve.words import batch_estimate, count, counts_examples, critical_batch, interval, percent


def advice(
    result: Result, optima: Sequence[Optimum], critical: CriticalBatchSize | None, law: LearningRateLaw | None
) -> str:
    """One paragraph: which batch and rate to use, and what larger batches buy, each number with its interval."""
    reached = [optimum for optimum in optima if optimum.steps is not None]
    if not reached:
        return _nothing_reached(result)
    if critical is None:
        fewest = min(reached, key=lambda optimum: optimum.examples or math.inf)
        return (
            f"{_train(result, fewest, law)} Of the batch sizes measured it needs the fewest examples. To learn "
            f"the critical batch size, more batch sizes or seeds have to reach the goal.{_edges(result, reached)}"
        )
    until = critical.value if critical.test.fits else critical.measured.linear_until.best
    below = [optimum for optimum in reached if optimum.batch_size <= until]
    parts = [_train(result, below[-1] if below else reached[0], law)]
    parts += _by_the_curve(critical) if critical.test.fits else _without_the_curve(critical)
    if law is not None:
        parts.append(law_advice(law))
    if not critical.reliable:
        parts.append(f"Do not trust this yet: {'; '.join(critical.notes)}.")
    if len(critical.seeds) == 2:
        parts.append("Two seeds tell little about their spread, so the intervals are wide: measure more.")
    return " ".join(parts)


def _fewest_examples(critical: CriticalBatchSize, above: float) -> str:
    if not counts_examples(critical):
        return "; batches grow, so their sizes here are those that trials begin with"
    fewest = f"{count(critical.e_min)}{interval(critical.e_min_low, critical.e_min_high)}"
    return f", and {above:.1f} times the fewest examples, {fewest}"


def _by_the_curve(critical: CriticalBatchSize) -> list[str]:
    """The critical batch size and what a doubling saves on either side of it, as percentages."""
    until, flat = critical.regimes
    above = 2.0 ** (1.0 / critical.sharpness)
    parts = [
        f"The critical batch size is {critical_batch(critical)}: there it takes {above:.1f} times the fewest "
        f"steps, which are {count(critical.s_min)}{interval(critical.s_min_low, critical.s_min_high)}"
        f"{_fewest_examples(critical, above)}."
    ]
    first, last = critical.range
    if until.best > first:
        end = min(until.best, last)
        parts.append(
            f"Perfect scaling: up to a batch of {batch_estimate(until, critical.range)}, steps are at most "
            f"{TOLERANCE:.0%} over linear scaling, and each doubling of the batch saves "
            f"{percent(_saved(critical, end))} or more of the steps."
        )
    if flat.best < last:
        parts.append(
            f"Maximal data parallelism: from {batch_estimate(flat, critical.range)} on, steps are within "
            f"{TOLERANCE:.0%} of the fewest, and a doubling saves at most {percent(_saved(critical, flat.best))} "
            f"of them."
        )
    else:
        parts.append(_at_the_largest(critical.measured.slopes[-1]))
    return parts


def _at_the_largest(last: Slope) -> str:
    """Whether steps still fall where the measured batch sizes end."""
    between = f"from {last.smaller:,} to {last.larger:,}"
    if last.slope.high < 0:
        return f"Steps still fall at the largest batch measured: {between} by {_saving(last)}."
    return (
        f"Whether steps still fall at the largest batch measured is not known: {between} they change by "
        f"{_change(last)}."
    )


def _saved(critical: CriticalBatchSize, batch_size: float) -> float:
    """Share of the steps that twice the batch saves."""
    steps = critical.curve(np.array([batch_size, 2.0 * batch_size])).steps
    return float(1.0 - steps[1] / steps[0])


def _without_the_curve(critical: CriticalBatchSize) -> list[str]:
    """Where linear scaling ends, and slopes between neighbours: what holds whatever the form."""
    until, slopes = critical.measured.linear_until, critical.measured.slopes
    changed = [f"{row.smaller:,} to {row.larger:,} by {_change(row)}" for row in slopes]
    return [
        f"Up to a batch of {batch_estimate(until, critical.range)}, steps stay within {TOLERANCE:.0%} of linear "
        f"scaling. As measured, the number of steps changes from batch {', from '.join(changed)}.",
    ]


def _saving(row: Slope) -> str:
    """Share of the steps with its interval; negative where they rise."""
    best, low, high = (1.0 - _factor(row, slope) for slope in row.slope)
    return f"{best:.0%} ({high:.0%} to {low:.0%})"


def _change(row: Slope) -> str:
    """The same with its sign: more steps are positive."""
    best, low, high = (_factor(row, slope) - 1.0 for slope in row.slope)
    return f"{best:+,.0%} ({low:+,.0%} to {high:+,.0%})"


def _factor(row: Slope, slope: float) -> float:
    return (row.larger / row.smaller) ** slope


def _train(result: Result, optimum: Optimum, law: LearningRateLaw | None) -> str:
    steps = optimum.estimate
    assert steps is not None  # only what reached the goal is advised
    examples = Estimate(*(result.examples(optimum.batch_size, number) for number in steps))
    return (
        f"Train {result.workload} with {result.optimizer} at batch size {optimum.batch_size} and "
        f"{_setting(result, optimum, law)}: {result.goal} after about {count(steps.best)}"
        f"{interval(steps.low, steps.high)} steps, {count(examples.best)}"
        f"{interval(examples.low, examples.high)} examples."
    )


def _nothing_reached(result: Result) -> str:
    """Why, as far as the trials tell, and what to change."""
    alive = result.status != DIVERGED
    if not alive.any():
        lowest = min(result.hparams["learning_rate"], default=0.0)
        return (
            f"Every trial diverged: take learning rates below the lowest one measured, {lowest:.3g} "
            "(--learning-rates), or look for a mistake in the loss."
        )
    if (result.status == REACHED).any():
        return "No batch size reached the goal in half of its seeds: raise --budget or ease --goal."
    ends = [
        result.goal.sign * curve.values[-1] if lives and len(curve.values) else np.inf
        for lives, curve in zip(alive, result.curves, strict=True)
    ]
    best = int(np.argmin(ends))
    end = result.goal.sign * ends[best]
    return (
        f"No trial reached the goal within {_budget(result)}: raise --budget or ease --goal. The "
        f"closest ended at {result.goal.metric} {end:.3g}, with batch size {result.batch_size[best]} and "
        f"{'first ' if changed(result) else ''}{result.rate_name} {result.hparams['learning_rate'][best]:.3g}."
    )


def _budget(result: Result) -> str:
    return f"{result.budget:,} steps" if isinstance(result.budget, int) else str(result.budget)


def _edges(result: Result, reached: Sequence[Optimum]) -> str:
    """Where the best rate is the first or the last that was measured, a better one may lie beyond."""
    at = {edge: [o.batch_size for o in reached if o.edge == edge] for edge in ("low", "high")}
    lines = [
        f" The best {result.rate_name} is the {edge}est one measured at {listed('batch size', sizes)}: "
        f"widen {'--space' if result.searched else '--learning-rates'} {'down' if edge == 'low' else 'up'}wards."
        for edge, sizes in at.items()
        if sizes
    ]
    return "".join([*lines, *_other_edges(reached)])


def _other_edges(reached: Sequence[Optimum]) -> list[str]:
    """The same of further hyperparameters, one line each for all batch sizes."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in reached:
        for name, edge in row.edges.items():
            if name != "learning_rate":
                found.setdefault((name, edge), []).append(row.batch_size)
    return [
        f" The best {name} is the {edge}est one tried at {listed('batch size', sizes)}."
        for (name, edge), sizes in found.items()
    ]


def _setting(result: Result, optimum: Optimum, law: LearningRateLaw | None) -> str:
    if changed(result):
        others = "".join(f", {name} {result.words(name, value)}" for name, value in optimum.others.items())
        return f"{lineage_words(result, optimum)}{others}"
    return f"{result.rate_name} {_rate(result, optimum, law)}"


def _rate(result: Result, optimum: Optimum, law: LearningRateLaw | None) -> str:
    """The law's rate where there is one that fits; all batch sizes speak for it, not one alone."""
    rate = optimum.learning_rate
    if rate and law and law.known and law.reliable:
        rate = rate_of_law(law, optimum.batch_size)
    others = "".join(f", {name} {result.words(name, value)}" for name, value in optimum.others.items())
    if not rate:
        return f"as given{others}"
    known = f" ({rate.low:.2g} to {rate.high:.2g})" if rate.low < rate.high else ""
    return f"{rate.best:.2g}{known}{others}"
