"""What a study means for the person who asked, in plain language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lr_batch import DIVERGED, REACHED, CriticalBatchSize, LearningRateLaw, Optimum, Result


def advice(
    result: Result, optima: Sequence[Optimum], critical: CriticalBatchSize | None, law: LearningRateLaw | None
) -> str:
    """One paragraph: which batch and rate to use, and beyond which batch more hardware buys nothing."""
    reached = [optimum for optimum in optima if optimum.steps is not None]
    if not reached:
        return _nothing_reached(result)
    if critical is None:
        fewest = min(reached, key=lambda optimum: optimum.examples)
        return (
            f"{_train(result, fewest)} Of the batch sizes measured it needs the fewest examples. To learn "
            f"the critical batch size, more batch sizes or seeds have to reach the goal.{_edges(reached)}"
        )
    below = [optimum for optimum in reached if optimum.batch_size <= critical.value]
    chosen = below[-1] if below else reached[0]
    parts = [
        _train(result, chosen),
        f"Up to a batch of about {critical.regimes.perfect_scaling_until.best:,.0f}, doubling the batch nearly "
        f"halves the steps at no cost in examples; at the critical batch size, {critical.value:,.0f} "
        f"({critical.low:,.0f} to {critical.high:,.0f}), the returns are diminishing.",
        f"Beyond {critical.regimes.flat_from.best:,.0f} more hardware buys nothing: no batch size needs fewer "
        f"than about {critical.s_min:,.0f} steps.",
    ]
    if law is not None:
        parts.append(
            f"When you change the batch below the critical size by a factor k, multiply the learning rate by "
            f"k^{law.exponent:.2f} ({law.low:.2f} to {law.high:.2f}){'' if law.reliable else ', roughly'}."
        )
    if not critical.reliable:
        parts.append(f"Do not trust this yet: {'; '.join(critical.notes)}.")
    return " ".join(parts)


def _train(result: Result, optimum: Optimum) -> str:
    return (
        f"Train {result.workload} with {result.optimizer} at batch size {optimum.batch_size} and learning "
        f"rate {_rate(optimum)}: {result.goal} after about {optimum.steps:,.0f} steps, "
        f"{optimum.examples:,.0f} examples."
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
        curve.values[-1] if lives and len(curve.values) else np.inf
        for lives, curve in zip(alive, result.curves, strict=True)
    ]
    best = int(np.argmin(ends))
    return (
        f"No trial reached the goal within {result.budget:,} steps: raise --budget or ease --goal. The "
        f"closest ended at {result.goal.metric} {ends[best]:.3g}, with batch size {result.batch_size[best]} and "
        f"learning rate {result.hparams['learning_rate'][best]:.3g}."
    )


def _edges(reached: Sequence[Optimum]) -> str:
    """Where the best rate is the first or the last that was measured, a better one may lie beyond."""
    at = {edge: [str(o.batch_size) for o in reached if o.edge == edge] for edge in ("low", "high")}
    lines = [
        f" The best learning rate is the {edge}est one measured at batch size {', '.join(sizes)}: "
        f"widen --learning-rates {'down' if edge == 'low' else 'up'}wards."
        for edge, sizes in at.items()
        if sizes
    ]
    return "".join(lines)


def _rate(optimum: Optimum) -> str:
    rate = optimum.learning_rate
    others = "".join(f", {name} {value:g}" for name, value in optimum.others.items())
    return f"{rate.best:.2g} ({rate.low:.2g} to {rate.high:.2g}){others}" if rate else f"as given{others}"
