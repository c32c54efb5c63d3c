"""What a study means for the person who asked, in plain language."""

from __future__ import annotations

from lr_batch.critical_batch import CriticalBatchSize
from lr_batch.learning_rate_law import LearningRateLaw
from lr_batch.optimum import Optimum
from lr_batch.result import Result


def advice(result: Result, critical: CriticalBatchSize | None, law: LearningRateLaw | None) -> str:
    """One paragraph: which batch and rate to use, and beyond which batch more hardware buys nothing."""
    if critical is None:
        return (
            "There are too few batch sizes that reached the goal to say which one to use: raise --budget, ease --goal, "
            "or look at lower learning rates if most trials diverged."
        )
    reached = [optimum for optimum in critical.optima if optimum.steps is not None]
    chosen = max((o for o in reached if o.batch_size <= critical.value), default=reached[0], key=lambda o: o.batch_size)
    parts = [
        f"Train {result.workload} with {result.optimizer} at batch size {chosen.batch_size} and learning rate "
        f"{_rate(chosen)}: {result.goal} after about {chosen.steps:,.0f} steps, {chosen.examples:,.0f} examples.",
        f"Up to a batch of about {critical.regimes.perfect_scaling_until:,.0f}, doubling the batch nearly halves the "
        f"steps at no cost in examples; at the critical batch size, {critical.value:,.0f} "
        f"({critical.low:,.0f} to {critical.high:,.0f}), the returns are diminishing.",
        f"Beyond {critical.regimes.flat_from:,.0f} more hardware buys nothing: no batch size needs fewer than about "
        f"{critical.s_min:,.0f} steps.",
    ]
    if law is not None and law.exponent is not None:
        parts.append(
            f"When you change the batch below the critical size by a factor k, multiply the learning rate by "
            f"k^{law.exponent:.2f} ({law.low:.2f} to {law.high:.2f})."
        )
    if not critical.reliable:
        parts.append(f"Do not trust this yet: {'; '.join(critical.notes)}.")
    return " ".join(parts)


def _rate(optimum: Optimum) -> str:
    rate = optimum.learning_rate
    others = "".join(f", {name} {value:g}" for name, value in optimum.others.items())
    return f"{rate.best:.2g} ({rate.low:.2g} to {rate.high:.2g}){others}" if rate else f"as given{others}"
