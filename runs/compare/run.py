"""Several optimizers side by side: which differences are larger than their intervals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lr_batch import CriticalBatchSize, Result
from runs.compare.figures import compare_rates, compare_steps
from runs.curve.analysis import Analysis
from runs.write import write_atomically


class Difference(NamedTuple):
    """`quantity` of `optimizer` over that of `baseline`: a ratio with its interval; `clear` if that excludes 1."""

    quantity: str
    optimizer: str
    baseline: str
    ratio: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        return self.low > 1 or self.high < 1


class Comparison(NamedTuple):
    """`differences` are between each pair of optimizers whose curves could be fitted."""

    outcomes: tuple[tuple[Result, Analysis], ...]
    differences: tuple[Difference, ...]
    summary: dict[str, Any]


def compare(outcomes: Sequence[tuple[Result, Analysis]]) -> Comparison:
    """Ratios of S_min and of B_crit between all pairs, from the resampled fits of both."""
    fitted = [(result.optimizer, outcome.critical) for result, outcome in outcomes if outcome.critical]
    differences = tuple(
        difference
        for i, (baseline, base) in enumerate(fitted)
        for optimizer, critical in fitted[i + 1 :]
        for difference in _differences(optimizer, critical, baseline, base)
    )
    summary = {
        "optimizers": [outcome.summary for _, outcome in outcomes],
        "differences": [difference._asdict() | {"clear": difference.clear} for difference in differences],
    }
    return Comparison(tuple(outcomes), differences, summary)


def _differences(
    optimizer: str, critical: CriticalBatchSize, baseline: str, base: CriticalBatchSize
) -> list[Difference]:
    num = min(len(critical.draws), len(base.draws))
    # The two were resampled with one stream of random numbers; turned over, the draws are independent.
    log_ratio = critical.draws[:num] - base.draws[:num][::-1]
    tails = 0.5 - critical.level / 2, 0.5 + critical.level / 2
    low, high = np.exp(np.quantile(log_ratio, tails, axis=0))
    best = (critical.s_min / base.s_min, critical.value / base.value)
    return [
        Difference(quantity, optimizer, baseline, float(best[i]), float(low[i]), float(high[i]))
        for i, quantity in enumerate(("s_min", "critical_batch_size"))
    ]


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """`summary.json` and the two figures."""
    results = [result for result, _ in comparison.outcomes]
    criticals = [outcome.critical for _, outcome in comparison.outcomes]
    write_atomically(folder / "summary.json", json.dumps(comparison.summary, indent=1).encode())
    compare_steps(results, criticals, folder / "compare_steps.png")
    compare_rates(results, criticals, folder / "compare_rates.png")


def print_comparison(comparison: Comparison, stream: IO[str]) -> None:
    """A row for each optimizer, and the differences from the first that are larger than their intervals."""
    console = Console(file=stream, highlight=False, width=None if stream.isatty() else 130)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in (
        "optimizer",
        "S_min",
        "interval",
        "B_crit",
        "interval",
        "best rate at B_crit",
        "trials",
        "diverged",
    ):
        table.add_column(heading, justify="left" if heading == "optimizer" else "right")
    for result, outcome in comparison.outcomes:
        table.add_row(result.optimizer, *_cells(result, outcome))
    console.print(table)
    for quantity, name in (("s_min", "fewest steps"), ("critical_batch_size", "critical batch size")):
        for line in _lines(comparison, quantity, name):
            console.print(line, markup=False)


def _cells(result: Result, outcome: Analysis) -> tuple[str, ...]:
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


def _lines(comparison: Comparison, quantity: str, name: str) -> list[str]:
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
