"""The outcome of a study as text on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from rich.table import Table

from lr_batch import CriticalAtGoal, CriticalBatchSize, LearningRateLaw, Optimum, Result
from runs.curve.analysis import Analysis
from runs.curve.law_words import exponents_text, formula_text
from runs.curve.lineages import HEADING, changed, lineage_table
from runs.curve.protocols import Protocols, members_table, protocol_lines, protocols_table
from runs.curve.words import (
    batch_estimate,
    count,
    counts_examples,
    critical_batch,
    interval,
    noise_words,
    trials,
)
from runs.text import Printer, table


def print_outcome(result: Result, outcome: Analysis, stream: IO[str]) -> None:
    """The table of batch sizes, the critical batch size, the law, and the advice."""
    say = Printer(stream)
    fixed, varying = _others(result, outcome.optima)
    title = f"{result.workload} with {result.optimizer}{fixed and f' at {fixed}'}"
    say(f"\n{title}, goal: held-out {result.goal} ({result.reached_by})")
    say(steps_table(result, outcome.optima, others=varying and not result.searched))
    if outcome.protocols:
        _print_search(say, result, outcome, outcome.protocols, varying)
        for line in protocol_lines(result, outcome.protocols, outcome.optima):
            say(line)
        say("")
    for line in (*_critical_lines(outcome.critical, outcome.law), *outcome.refusals, *result.engine.events):
        say(line)
    if outcome.noise:
        say(
            f"noise scale          {noise_words(outcome.noise)}: predicts the critical batch size, does not measure it"
        )
    if any(entry.critical for entry in outcome.goals[1:]):
        say("\nAt other goals, from the same trials:")
        say(goals_table(outcome.goals))
    if result.grid_trials is not None:
        say(f"followed             the best rate through the grid: measured {trials(result)}")
    share = result.engine.evaluation_share
    if share:
        say(f"evaluations          {share:.0%} of the time of training, by the rows and examples read")
    say(f"\n{outcome.advice}")


def _print_search(
    say: Printer, result: Result, outcome: Analysis, protocols: Protocols, varying: bool
) -> None:
    if changed(result):
        say("\nThe best of the members, each a setting with all its changes:")
        say(members_table(protocols))
        if any(row.steps is not None for row in outcome.optima):
            say(HEADING)
            say(lineage_table(result, outcome.optima))
        return
    say("\nThe best of the trials, and the minimum of a smooth surface through all of them:")
    say(protocols_table(protocols, outcome.optima))
    if varying:
        say("Best settings of the surface, beside the rate:")
        say(settings_table(result, outcome.optima))


def goals_table(goals: Sequence[CriticalAtGoal]) -> Table:
    """One row per goal: critical batch size with interval, fewest steps, fewest examples."""
    return table(
        ("goal", "critical batch size", "fewest steps", "fewest examples"), [*map(_goal_cells, goals)], left=1
    )


def _goal_cells(entry: CriticalAtGoal) -> tuple[str, ...]:
    critical = entry.critical
    if critical is None:
        return str(entry.goal), "none", "", ""
    examples = short(critical.e_min) if counts_examples(critical) else ""
    return str(entry.goal), critical_batch(critical), short(critical.s_min), examples


def steps_table(result: Result, optima: Sequence[Optimum], *, others: bool = False) -> Table:
    """One row per batch size: steps with interval, examples, best rate with interval, edge, best `others`."""
    best = "best peak rate" if result.schedule else "best rate"
    rate = () if changed(result) else (best, "90% interval")
    headings = ("batch", "steps", "90% interval", "examples", *rate, "seeds", *(("edge",) if rate else ()))
    cells = [_cells(row) if rate else _cells(row)[:4] + _cells(row)[6:7] for row in optima]
    rows = [
        (*row, *((_settings(result, one),) if others else ())) for row, one in zip(cells, optima, strict=True)
    ]
    return table((*headings, "with") if others else headings, rows)


def settings_table(result: Result, optima: Sequence[Optimum]) -> Table:
    """One row per batch size that reached the goal: the best value of everything that was searched beside the rate."""
    assert result.searched
    names = [name for name in result.searched.axes if name != "learning_rate"]
    rows = [
        (f"{row.batch_size:,}", *(result.words(name, row.others[name]) for name in names))
        for row in optima
        if row.steps is not None
    ]
    return table(("batch", *names), rows)


def _others(result: Result, optima: Sequence[Optimum]) -> tuple[str, bool]:
    """The best values of the further hyperparameters where all batch sizes agree, and whether they do not."""
    found = {_settings(result, row) for row in optima}
    return (found.pop(), False) if len(found) == 1 else ("", bool(found))


def _settings(result: Result, row: Optimum) -> str:
    return ", ".join(f"{name} {result.words(name, value)}" for name, value in row.others.items())


def _cells(row: Optimum) -> tuple[str, ...]:
    rate = row.learning_rate
    return (
        f"{row.batch_size:,}",
        "never" if row.steps is None else short(row.steps),
        _interval(row),
        "" if row.examples is None else short(row.examples),
        f"{rate.best:.3g}" if rate else "",
        f"{rate.low:.2g} - {rate.high:.2g}" if rate and rate.low < rate.high else "",
        f"{row.n_reached}/{row.n_seeds}",
        ", ".join(_edges(row)),
    )


def _edges(row: Optimum) -> list[str]:
    """The ends at which the best setting lies; of a grid, that of the rate without its name."""
    rate = [row.edge] if row.edge and not row.searched else []
    return rate + [f"{name} {edge}" for name, edge in row.edges.items()]


def _interval(row: Optimum) -> str:
    if row.steps is None:
        return f"> {short(row.low)}" if row.low else ""
    steps = row.estimate  # a single seed has no interval
    return f"{short(steps.low)} - {short(steps.high)}" if steps and steps.low < steps.high else ""


def short(number: float) -> str:
    """A count in at most seven characters, so that a table fits a terminal of 80.

    >>> [short(x) for x in (8.25, 862.8, 15926, 1_283_000)]
    ['8.2', '863', '15,926', '1.28M']
    """
    for scale, unit in ((1e9, "G"), (1e6, "M")):
        if number >= 0.9995 * scale:
            return f"{number / scale:.3g}{unit}"
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.1f}"


def _critical_lines(critical: CriticalBatchSize | None, law: LearningRateLaw | None) -> list[str]:
    lines = []
    if critical:
        lines += [] if critical.test.fits else _measured_lines(critical)
        lines += _fitted_lines(critical)
    if law:
        # Laws that cannot be told apart are all named; a formula where none can be told would say too much.
        said = [law.words, *([formula_text(law), exponents_text(law)] if law.known else []), *law.notes]
        heads = ["learning-rate law", *[""] * (len(said) - 1)]
        lines += [f"{head:21s}{text}" for head, text in zip(heads, said, strict=True)]
    return lines


def _fitted_lines(critical: CriticalBatchSize) -> list[str]:
    """The numbers of the fit; marked where the curve does not fit."""
    until, flat = critical.regimes
    fewest = (
        f"fewest examples      {count(critical.e_min)}{interval(critical.e_min_low, critical.e_min_high)}"
    )
    lines = [
        f"critical batch size  {critical_batch(critical)}, sharpness {critical.sharpness:.2f} "
        f"({critical.sharpness_low:.2f} to {critical.sharpness_high:.2f}); intervals are {critical.level:.0%}",
        f"fewest steps         {count(critical.s_min)}{interval(critical.s_min_low, critical.s_min_high)}",
        *([fewest] if counts_examples(critical) else []),
        f"perfect scaling      until batch {batch_estimate(until, critical.range)}",
        f"maximal data parallelism from batch {batch_estimate(flat, critical.range)}",
    ]
    return lines if critical.test.fits else [f"by a curve that does not fit: {line}" for line in lines]


def _measured_lines(critical: CriticalBatchSize) -> list[str]:
    """What holds where the curve does not: first why, then where linear scaling ends, then the slopes."""
    slopes = ", ".join(
        f"{row.smaller:,}-{row.larger:,} {row.slope.best:.2f} ({row.slope.low:.2f} to {row.slope.high:.2f})"
        for row in critical.measured.slopes
    )
    return [
        *critical.test.notes,
        f"linear scaling       within 20% until batch {batch_estimate(critical.measured.linear_until, critical.range)}",
        f"slopes               {slopes}",
    ]
