"""All that is read off the trials of a study, once, and what could not be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

CRITICAL, LAW = "no critical batch size", "no learning-rate law"
REFUSED = {"critical_batch_size": CRITICAL, "learning_rate_law": LAW}
DIVERGED_ALL = "every trial diverged"


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

    def __repr__(self) -> str:
        return f"Analysis({self.advice})"

    @property
    def no_critical(self) -> str:
        """Why there is no critical batch size, in one line."""
        return self._refusal(CRITICAL)

    @property
    def no_law(self) -> str:
        """Why there is no law of the best rate, in one line."""
        return self._refusal(LAW)

    def _refusal(self, beginning: str) -> str:
        reasons = [line for line in self.refusals if line.startswith((beginning, DIVERGED_ALL))]
        return "; ".join(reasons) or f"{beginning}: not fitted"


def analyse(result: Result, noise: Mapping[str, Any] | None = None) -> Analysis:
    """Best settings, critical batch size, learning-rate law, advice and summary of a study."""
    if result.num_trials == 0:
        raise StudyError(f"no trial could be run: {'; '.join(result.engine.events) or 'none was planned'}")
    optima = best_settings(result)
    refusals: list[str] = []
    if (result.status == DIVERGED).all():
        refusals.append(f"{DIVERGED_ALL}: try lower learning rates")
    critical = _or_refusal(critical_batch_size, result, optima, refusals)
    law = _or_refusal(learning_rate_law, result, optima, refusals)
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


def _or_refusal(
    fit: Callable[..., Any], result: Result, optima: Sequence[Optimum], refusals: list[str]
) -> Any:
    """None where the trials do not allow the fit; the reason goes to the refusals, with words for the function."""
    try:
        return fit(result, optima=optima)
    except ValueError as error:
        refusals.append(in_words(fit.__name__, str(error)))
        return None


def in_words(fit: str, refusal: str) -> str:
    """What a fit raised, for people, who do not know it by the name of its function.

    >>> in_words("learning_rate_law", "learning_rate_law: needs several learning rates")
    'no learning-rate law: needs several learning rates'
    """
    return f"{REFUSED[fit]}: {refusal.removeprefix(f'{fit}: ')}"
