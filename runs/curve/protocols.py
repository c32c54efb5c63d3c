"""Two readings of the same search side by side: the best of its trials, and the minimum of a smooth surface."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.table import Table

from lr_batch import (
    BestOfTrials,
    Estimate,
    LearningRateLaw,
    Optimum,
    Result,
    best_of_trials,
    learning_rate_law,
)
from runs.curve.law_words import law_summary, law_text
from runs.curve.lineages import ABOUT, about_members, changed
from runs.text import table
from runs.write import plain


class Protocols(NamedTuple):
    """`best` of the trials at each batch size; `law` of the best effective rate, None where `refusal` says why."""

    best: tuple[BestOfTrials, ...]
    law: LearningRateLaw | None
    refusal: str


def read_protocols(result: Result, optima: Sequence[Optimum]) -> Protocols | None:
    """None where no search proposed the settings."""
    if result.searched is None:
        return None
    if changed(result):
        return Protocols(best_of_trials(result), None, ABOUT)
    law, refusal = None, "no momentum was searched, so the effective rate is the rate"
    effective = effective_optima(optima)
    if any(row.effective_rate for row in optima):
        try:
            law, refusal = learning_rate_law(result, optima=effective), ""
        except ValueError as error:
            refusal = str(error).removeprefix("learning_rate_law: ")
    return Protocols(best_of_trials(result), law, refusal)


def effective_optima(optima: Sequence[Optimum]) -> list[Optimum]:
    """The optima with rate / (1 - momentum) in the place of the rate."""
    return [
        row._replace(learning_rate=row.effective_rate, log_rate=row.log_effective_rate)
        if row.effective_rate
        else row._replace(learning_rate=None)
        for row in optima
    ]


def protocols_table(protocols: Protocols, optima: Sequence[Optimum]) -> Table:
    """One row per batch size: best of the trials with interval and optimism, minimum of the surface, effective rate."""
    headings = (*BEST_OF, "surface", "90% interval")
    effective = any(row.effective_rate for row in optima)
    more = ("rate/(1-m)", "90% interval") if effective else ()
    rows = [
        (*_cells(best), *_estimate(row.estimate), *(_estimate(row.effective_rate) if effective else ()))
        for best, row in zip(protocols.best, optima, strict=True)
    ]
    return table((*headings, *more), rows)


BEST_OF = ("batch", "best of", "steps", "90% interval", "optimism")


def members_table(protocols: Protocols) -> Table:
    """One row per batch size: the best is of so many members, and its optimism; the steps are in the table above."""
    rows = [(batch, best_of, optimism) for batch, best_of, *_, optimism in map(_cells, protocols.best)]
    return table(("batch", "best of", "optimism"), rows)


def _cells(best: BestOfTrials) -> tuple[str, ...]:
    more = best.optimism
    return (
        f"{best.batch_size:,}",
        str(best.feasible),
        *_estimate(best.steps),
        ""
        if more is None
        else f"{more.best:.2f} ({_span(f'{more.low:.2f}', more.high, f'{more.high:.2f}')})",
    )


def _estimate(number: Estimate | None) -> tuple[str, str]:
    if number is None:
        return "never", ""
    shown = [f"{x:,.0f}" if x >= 99.95 else f"{x:.3g}" for x in number]
    return shown[0], _span(shown[1], number.high, shown[2]) if number.low < number.high else ""


def _span(low: str, high: float, shown: str) -> str:
    """An interval; one without an end by where it begins."""
    return f"{low} - {shown}" if math.isfinite(high) else f"> {low}"


def protocol_lines(result: Result, protocols: Protocols, optima: Sequence[Optimum]) -> list[str]:
    """What the table does not say: infeasible settings, the law of the effective rate, the ends of ranges."""
    assert result.searched
    lost = [best for best in protocols.best if best.infeasible]
    short = [best for best in protocols.best if best.feasible < result.searched.trials]
    lines = about_members(result, optima) if changed(result) else []
    if lost:
        listed = ", ".join(f"{best.infeasible} at {best.batch_size:,}" for best in lost)
        lines.append(f"settings that diverged with half of the seeds or more, not counted: {listed}")
    if short:
        listed = ", ".join(f"{best.feasible} at {best.batch_size:,}" for best in short)
        lines.append(f"feasible settings found, of {result.searched.trials} wanted: {listed}")
    if protocols.law:
        lines.append(f"law of the effective rate  {law_text(protocols.law)}")
    return lines + edge_notes(optima)


def edge_notes(optima: Sequence[Optimum]) -> list[str]:
    """The ranges at whose ends best settings lie, a line each."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in optima:
        for name, edge in row.edges.items():
            found.setdefault((name, edge), []).append(f"{row.batch_size:,}")
    return [
        f"the best {name} lies at the {edge} end of its range at batch size {', '.join(sizes)}"
        for (name, edge), sizes in found.items()
    ]


def protocols_summary(result: Result, protocols: Protocols | None) -> dict[str, Any]:
    """For `summary.json`; nothing of a grid."""
    if protocols is None or result.searched is None:
        return {}
    return plain(
        {
            "search": {**result.searched.described, "trials": result.searched.trials},
            "best_of_trials": [
                best._asdict()
                | {
                    "steps": best.steps and best.steps._asdict(),
                    "optimism": best.optimism and best.optimism._asdict(),
                }
                for best in protocols.best
            ],
            "effective_rate_law": protocols.law and law_summary(protocols.law),
        }
    )
