"""All that is read off the trials of a study, once, and what could not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lr_batch import (
    DIVERGED,
    CriticalBatchSize,
    LearningRateLaw,
    Optimum,
    Result,
    StudyError,
    best_settings,
    critical_batch_size,
    learning_rate_law,
)
from runs.curve.advice import advice
from runs.curve.summary import summarize
from runs.plots.cells import Cells, cells


class Analysis(NamedTuple):
    """`critical` and `law` are None where the trials do not allow them; `refusals` say why.

    `cells` are the trials by batch size and setting, as the figures show them.
    """

    optima: tuple[Optimum, ...]
    critical: CriticalBatchSize | None
    law: LearningRateLaw | None
    refusals: tuple[str, ...]
    cells: Cells
    advice: str
    summary: dict[str, Any]

    @property
    def why(self) -> str:
        """The refusals in one line."""
        return "; ".join(self.refusals) or "not fitted"


def analyse(result: Result) -> Analysis:
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
    summary = summarize(result, optima, critical, law, refusals) | {"advice": said}
    return Analysis(optima, critical, law, tuple(refusals), cells(result), said, summary)


def _or_refusal(fit: Callable[[], Any], refusals: list[str]) -> Any:
    try:
        return fit()
    except ValueError as error:
        refusals.append(str(error))
        return None
