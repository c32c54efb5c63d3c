"""The numbers of a study as one JSON-like dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lr_batch import DIVERGED, REACHED, CriticalAtGoal, CriticalBatchSize, LearningRateLaw, Optimum, Result
from runs.curve.law_words import law_summary
from runs.curve.lineages import pieces_summary
from runs.write import plain


def summarize(
    result: Result,
    optima: Sequence[Optimum],
    critical: CriticalBatchSize | None,
    law: LearningRateLaw | None,
    refusals: Sequence[str],
) -> dict[str, Any]:
    """Content of `summary.json`: steps in optimizer steps, examples in training examples, times in seconds.

    `critical` and `law` are None where they were refused; `refusals` say why.
    """
    return plain(
        {
            "workload": result.workload,
            "optimizer": result.optimizer,
            "schedule": result.schedule and result.schedule.described,
            "batch_schedule": str(result.batch_schedule) if result.batch_schedule else None,
            "goal": goal_summary(result),
            "budget": result.budget if isinstance(result.budget, int) else str(result.budget),
            "trials": result.num_trials,
            "grid_trials": result.grid_trials,
            "reached": int((result.status == REACHED).sum()),
            "diverged": int((result.status == DIVERGED).sum()),
            "steps_to_goal": [_row(optimum) | pieces_summary(result, optimum) for optimum in optima],
            "critical_batch_size": critical and _critical(critical),
            "regimes": critical
            and {name: limit._asdict() for name, limit in critical.regimes._asdict().items()},
            "learning_rate_law": law and law_summary(law),
            "engine": result.engine._asdict(),
            "notes": [*(critical.notes if critical else ()), *_law_notes(law), *refusals],
        }
    )


def goal_summary(result: Result) -> dict[str, Any]:
    """The goal under its direction, and the rule by which it was reached."""
    goal = result.goal
    side = "above" if goal.above else "below"
    return {"metric": goal.metric, side: goal.threshold, "reached": result.reached_by}


def goal_row(entry: CriticalAtGoal) -> dict[str, Any]:
    """The critical batch size at one goal, or why there is none."""
    found = _critical(entry.critical) if entry.critical else None
    return {"goal": str(entry.goal), "critical_batch_size": found, "refusal": entry.refusal}


def _row(optimum: Optimum) -> dict[str, Any]:
    rate = optimum.learning_rate
    return {
        "batch_size": optimum.batch_size,
        "steps": optimum.steps,
        "low": optimum.low,
        "high": optimum.high,
        "examples": optimum.examples,
        "learning_rate": {
            "best": rate and rate.best,
            "low": rate and rate.low,
            "high": rate and rate.high,
            "edge": optimum.edge,
        },
        "others": dict(optimum.others),
        **_of_search(optimum),
        "seeds_reached": optimum.n_reached,
        "seeds": optimum.n_seeds,
    }


def _of_search(optimum: Optimum) -> dict[str, Any]:
    """What is known of more than the rate; nothing of a grid."""
    rate = optimum.effective_rate
    found = {"effective_rate": rate._asdict()} if rate else {}
    return found | ({"edges": dict(optimum.edges)} if optimum.edges else {})


def _critical(critical: CriticalBatchSize) -> dict[str, Any]:
    names = (
        "value low high s_min s_min_low s_min_high e_min e_min_low e_min_high "
        "sharpness sharpness_low sharpness_high hyperbola level reliable"
    )
    test = critical.test._asdict()
    return {name: getattr(critical, name) for name in names.split()} | {
        "test": test,
        "measured": _measured(critical),
    }


def _measured(critical: CriticalBatchSize) -> dict[str, Any]:
    """What holds without any form of the curve."""
    slopes, until = critical.measured
    return {
        "linear_until": until._asdict(),
        "slopes": [row._asdict() | {"slope": row.slope._asdict()} for row in slopes],
        "batch_sizes": list(critical.range),
    }


def _law_notes(law: LearningRateLaw | None) -> list[str]:
    return [f"learning-rate law: {note}" for note in law.notes] if law else []
