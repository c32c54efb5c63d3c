"""Several optimizers side by side: which differences are larger than their intervals."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

import lr_batch
from lr_batch import CriticalBatchSize, Result
from runs.compare.figures import compare_rates, compare_steps
from runs.compare.rank import HEADINGS as HEADINGS_BY
from runs.compare.rank import By, Ranking, cells, rank
from runs.curve.analysis import Analysis
from runs.kept_json import read_kept, write_kept
from runs.text import Printer, table

HEADINGS = (
    "optimizer",
    "S_min",
    "interval",
    "B_crit",
    "interval",
    "best rate at B_crit",
    "trials",
    "diverged",
)

QUANTITIES = (("s_min", "fewest steps"), ("critical_batch_size", "critical batch size"))


class Difference(NamedTuple):
    """`quantity` of `optimizer` over that of `baseline`: a ratio with its interval.

    `clear` where it differs from 1 with all comparisons with this baseline taken together (Holm, 1979).
    """

    quantity: str
    optimizer: str
    baseline: str
    ratio: float
    low: float
    high: float
    p_value: float
    clear: bool


class Comparison(NamedTuple):
    """`differences` are between each pair of optimizers whose curves could be fitted; `ranking` if asked for."""

    outcomes: tuple[tuple[Result, Analysis], ...]
    differences: tuple[Difference, ...]
    summary: dict[str, Any]
    ranking: Ranking | None = None


def compare(outcomes: Sequence[tuple[Result, Analysis]]) -> Comparison:
    """Ratios of S_min and of B_crit between all pairs; optimizers see the same seeds, which are paired."""
    fitted = [(result.optimizer, outcome.critical) for result, outcome in outcomes if outcome.critical]
    differences = tuple(
        difference
        for i, (baseline, base) in enumerate(fitted)
        for difference in _differences(fitted[i + 1 :], baseline, base)
    )
    summary = {
        "optimizers": [outcome.summary for _, outcome in outcomes],
        "differences": [difference._asdict() for difference in differences],
    }
    return Comparison(tuple(outcomes), differences, summary)


def ranked(comparison: Comparison, by: By, folders: Sequence[Path]) -> Comparison:
    """The comparison with its optimizers in rank; `folders` are those of their stores, in the same order."""
    ranking = rank(comparison.outcomes, by, folders)
    entry = {
        "by": by,
        "rows": [
            row._asdict() | {"cost": row.cost._asdict(), "ratio": row.ratio and row.ratio._asdict()}
            for row in ranking.rows
        ],
        "conditions": list(ranking.lines),
    }
    return comparison._replace(ranking=ranking, summary=comparison.summary | {"ranking": entry})


def ranked_by(folder: Path) -> By | None:
    """What the stored comparison was ranked by; None where it was not, or its summary is gone."""
    try:
        by = read_kept(folder / "summary.json")["ranking"]["by"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return by if by in typing.get_args(By) else None


def _differences(
    others: Sequence[tuple[str, CriticalBatchSize]], baseline: str, base: CriticalBatchSize
) -> list[Difference]:
    found = [
        (quantity, name, ratio)
        for name, critical in others
        for quantity, ratio in lr_batch.ratio(critical, base).items()
    ]
    clear = lr_batch.holm(np.array([ratio.p_value for *_, ratio in found]), base.level)
    return [
        Difference(quantity, name, baseline, *ratio, bool(differs))
        for (quantity, name, ratio), differs in zip(found, clear, strict=True)
    ]


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """`summary.json`, the page and the two figures."""
    from runs.compare.report import write_report

    write_kept(folder / "summary.json", comparison.summary)
    write_report(comparison, folder)
    compare_steps(comparison.outcomes, folder / "compare_steps.png")
    compare_rates(comparison.outcomes, folder / "compare_rates.png")


def print_comparison(comparison: Comparison, stream: IO[str]) -> None:
    """A row for each optimizer, and the differences from the first that are larger than their intervals."""
    say = Printer(stream)
    rows = [(result.optimizer, *cells_of(result, outcome)) for result, outcome in comparison.outcomes]
    say(table(HEADINGS, rows, left=1))
    for result, outcome in comparison.outcomes:
        if outcome.critical is None:
            say(f"{result.optimizer}: {outcome.no_critical}")
    for quantity, name in QUANTITIES:
        for line in lines_of(comparison, quantity, name):
            say(line)
    if comparison.ranking:
        by = comparison.ranking.by
        headings = ("rank", "optimizer", HEADINGS_BY[by], "at batch", "over the first")
        say(table(headings, cells(comparison.ranking), left=2))
        for line in comparison.ranking.lines:
            say(line)


def cells_of(result: Result, outcome: Analysis) -> tuple[str, ...]:
    critical, summary = outcome.critical, outcome.summary
    trials = (f"{summary['trials']:,}", f"{summary['diverged'] / max(1, summary['trials']):.0%}")
    if critical is None:
        return ("not fitted", "", "", "", "", *trials)
    reached = [row for row in critical.optima if row.learning_rate]
    near = min(reached, key=lambda row: abs(np.log(row.batch_size / critical.value)), default=None)
    rate = near.learning_rate if near else None
    return (
        f"{critical.s_min:,.1f}",
        f"{critical.s_min_low:,.1f} - {critical.s_min_high:,.1f}",
        f"{critical.value:,.0f}" + ("" if critical.reliable else " ?"),
        f"{critical.low:,.0f} - {critical.high:,.0f}",
        f"{rate.best:.2g} ({rate.low:.2g} - {rate.high:.2g})" if rate else "",
        *trials,
    )


def lines_of(comparison: Comparison, quantity: str, name: str) -> list[str]:
    """Differences from the first optimizer: the clear ones, then the names of the others."""
    baseline = comparison.outcomes[0][0].optimizer
    rows = [d for d in comparison.differences if d.quantity == quantity and d.baseline == baseline]
    lines = [
        f"{d.optimizer}: {d.ratio:.2f} x the {name} of {baseline} ({d.low:.2f} to {d.high:.2f})"
        for d in rows
        if d.clear
    ]
    unclear = ", ".join(d.optimizer for d in rows if not d.clear)
    return lines + ([f"no clear difference in {name} from {baseline}: {unclear}"] if unclear else [])
