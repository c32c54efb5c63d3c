"""All that is read off the trials of a study, once, and what could not be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lr_batch import (
    DIVERGED,
    CriticalAtGoal,
    CriticalBatchSize,
    LearningRateLaw,
    Optimum,
    Result,
    StudyError,
    best_settings,
    critical_batch_size,
    critical_by_goal,
    learning_rate_law,
)
from runs.curve.advice import advice
from runs.curve.lineages import about_members, changed
from runs.curve.protocols import Protocols, protocols_summary, read_protocols
from runs.curve.summary import goal_row, summarize
from runs.plots.cells import Cells, cells
from runs.write import plain


class Analysis(NamedTuple):
    """`critical` and `law` are None where the trials do not allow them; `refusals` say why.

    `cells` are the trials by batch size and setting, as the figures show them; `goals` the critical batch sizes at
    the study's goal and at easier ones; `protocols` are two readings of a search, None of a grid; `noise` is the noise
    scale at the best setting, where it was asked for (`runs.noise.beside_curve`).
    """

    optima: tuple[Optimum, ...]
    critical: CriticalBatchSize | None
    law: LearningRateLaw | None
    refusals: tuple[str, ...]
    cells: Cells
    advice: str
    summary: dict[str, Any]
    goals: tuple[CriticalAtGoal, ...] = ()
    protocols: Protocols | None = None
    noise: Mapping[str, Any] | None = None

    @property
    def why(self) -> str:
        """The refusals in one line."""
        return "; ".join(self.refusals) or "not fitted"


def analyse(result: Result, noise: Mapping[str, Any] | None = None) -> Analysis:
    """Best settings, critical batch size, learning-rate law, advice and summary of a study."""
    if result.num_trials == 0:
        raise StudyError(f"no trial could be run: {'; '.join(result.engine.events) or 'none was planned'}")
    optima = best_settings(result)
    refusals: list[str] = []
    if (result.status == DIVERGED).all():
        refusals.append("every trial diverged: try lower learning rates")
    critical = _or_refusal(lambda: critical_batch_size(result, optima=optima), refusals)
    law = _or_refusal(lambda: learning_rate_law(result, optima=optima), refusals)
    said = advice(result, optima, critical, law)
    goals = critical_by_goal(result, critical)
    protocols = read_protocols(result, optima)
    summary = summarize(result, optima, critical, law, refusals)
    summary |= {"advice": said, "critical_batch_size_by_goal": plain(list(map(goal_row, goals)))}
    summary |= protocols_summary(result, protocols) | _noise_entry(noise)
    summary["notes"] = [*summary["notes"], *(about_members(result, optima) if changed(result) else [])]
    return Analysis(
        optima, critical, law, tuple(refusals), cells(result), said, summary, goals, protocols, noise
    )


def _noise_entry(noise: Mapping[str, Any] | None) -> dict[str, Any]:
    """The scale of the whole training; its points are in a file of their own."""
    return {"noise_scale": {name: noise[name] for name in noise if name != "points"}} if noise else {}


def _or_refusal(fit: Callable[[], Any], refusals: list[str]) -> Any:
    try:
        return fit()
    except ValueError as error:
        refusals.append(str(error))
        return None
