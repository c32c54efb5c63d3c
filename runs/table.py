"""The outcome of a study as text on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lr_batch.critical_batch import CriticalBatchSize
from lr_batch.learning_rate_law import LearningRateLaw
from lr_batch.optimum import Optimum
from lr_batch.result import Result
from runs.analysis import Analysis


def print_outcome(result: Result, outcome: Analysis, stream: IO[str]) -> None:
    """The table of batch sizes, the critical batch size, the law, and the advice."""
    console = Console(file=stream, highlight=False, width=None if stream.isatty() else 100)
    console.print(f"\n{result.workload} with {result.optimizer}, goal: held-out {result.goal}", markup=False)
    console.print(steps_table(outcome.optima))
    for line in (*_critical_lines(outcome.critical, outcome.law), *outcome.refusals, *result.engine.events):
        console.print(line, markup=False)
    console.print()
    console.print(outcome.advice, markup=False)


def steps_table(optima: Sequence[Optimum]) -> Table:
    """One row per batch size: steps with interval, examples, best rate with interval, edge."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("batch size", "steps to goal", "interval", "examples", "best rate", "interval", "seeds", "edge"):
        table.add_column(heading, justify="right")
    for row in optima:
        table.add_row(*_cells(row))
    return table


def _cells(row: Optimum) -> tuple[str, ...]:
    rate = row.learning_rate
    others = "".join(f" {name}={value:g}" for name, value in row.others.items())
    return (
        f"{row.batch_size:,}",
        f"{row.steps:,.1f}" if row.steps is not None else "not reached",
        f"{row.low:,.1f} - {row.high:,.1f}" if row.steps is not None else f"> {row.low:,.0f}" if row.low else "",
        f"{row.examples:,.0f}" if row.examples is not None else "",
        (f"{rate.best:.3g}" if rate else "") + others,
        f"{rate.low:.3g} - {rate.high:.3g}" if rate else "",
        f"{row.n_reached}/{row.n_seeds}",
        row.edge or "",
    )


def _critical_lines(critical: CriticalBatchSize | None, law: LearningRateLaw | None) -> list[str]:
    lines = []
    if critical:
        lines += [
            f"critical batch size  {critical.value:,.1f}  ({critical.level:.0%} interval {critical.low:,.1f} to "
            f"{critical.high:,.1f}), sharpness {critical.sharpness:.2f}",
            f"fewest steps S_min   {critical.s_min:,.1f}  ({critical.s_min_low:,.1f} to {critical.s_min_high:,.1f})",
            f"fewest examples E_min {critical.e_min:,.0f}  ({critical.e_min_low:,.0f} to {critical.e_min_high:,.0f})",
            f"perfect scaling until batch {critical.regimes.perfect_scaling_until:,.0f}, plateau from batch "
            f"{critical.regimes.flat_from:,.0f}",
        ]
    if law:
        lines.append(
            f"learning-rate law    {law.best}; exponent below the critical batch size {law.exponent:.2f} "
            f"({law.low:.2f} to {law.high:.2f})"
        )
    return lines
