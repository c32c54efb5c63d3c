"""The tables and the large numbers of a study's page, as HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from lr_batch import CriticalBatchSize, Estimate, LearningRateLaw, Result
from runs.curve.law_words import exponents_text, parameters_text
from runs.curve.words import batch, batch_span, counts_examples, noise_words
from runs.page.tables import card, cards, table
from runs.page.trials import listed
from runs.plots.style import count


def critical_cards(
    critical: CriticalBatchSize | None, law: LearningRateLaw | None, noise: Mapping[str, Any] | None = None
) -> str:
    """The answers in large figures; empty for what was not fitted."""
    html = []
    if critical:
        level, (until, flat) = f"{critical.level:.0%} interval", critical.regimes
        value = Estimate(critical.value, critical.low, critical.high)
        s_min = Estimate(critical.s_min, critical.s_min_low, critical.s_min_high)
        e_min = Estimate(critical.e_min, critical.e_min_low, critical.e_min_high)
        unfit = "" if critical.test.fits else "the curve does not fit; "
        sides = [batch(limit, critical.range) for limit in (value.best, until.best, flat.best)]
        spans = [batch_span(limit, critical.range) for limit in (value, until, flat)]
        over = f"within 20% of S<sub>min</sub>, {spans[2]}; sharpness {critical.sharpness:.2g}"
        boxes = (
            ("critical batch size", sides[0], f"{unfit}{level} {spans[0]}"),
            ("fewest steps, S<sub>min</sub>", count(s_min.best), f"{unfit}{level} {_span(*s_min[1:])}"),
            ("fewest examples, E<sub>min</sub>", count(e_min.best), f"{unfit}{level} {_span(*e_min[1:])}"),
            ("perfect scaling until batch", sides[1], f"{unfit}at most 20% over linear scaling, {spans[1]}"),
            ("maximal data parallelism from batch", sides[2], unfit + over),
        )
        told = boxes if counts_examples(critical) else (*boxes[:2], *boxes[3:])
        html = [card(label, value, remark) for label, value, remark in told]
    if law:
        formula = law.winner.formula if law.known else "not known"
        numbers = f"; {parameters_text(law)}; {exponents_text(law)}" if law.known else ""
        html.append(card("law of the best rate", escape(formula), escape(law.words + numbers)))
    if noise:
        told = "infinite" if noise["best"] is None else count(noise["best"])
        remark = f"a prediction of the critical batch size: {noise_words(noise)}"
        html.append(card("gradient noise scale", told, remark))
    return cards(html)


def _span(low: float | None, high: float | None, number: Callable[[float], str] = count) -> str:
    """In words; an end that nothing bounds is None."""
    if high is None:
        return "" if low is None else f"above {number(low)}"
    return f"below {number(high)}" if low is None else f"{number(low)} to {number(high)}"


def steps_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the summary's `steps_to_goal`; a column for each hyperparameter beside the rate."""
    others = list(rows[0].get("others", {})) if rows else []
    heads = ("batch size", "steps", "interval", "examples", "best rate", "interval", *others, "seeds", "edge")
    return table(heads, [_cells(row, others) for row in rows])


def _cells(row: Mapping[str, Any], others: Sequence[str]) -> list[str]:
    """One row's cells. Without steps, the lower bound stands in place of the interval."""
    rate = row["learning_rate"] or {}
    best, edge = rate.get("best"), rate.get("edge")
    bound = f"more than {count(row['low'])}" if row["low"] else "all diverged"
    return [
        f"{row['batch_size']:,}",
        "not reached" if row["steps"] is None else count(row["steps"]),
        bound if row["steps"] is None else _span(row["low"], row["high"]),
        "" if row["examples"] is None else count(row["examples"]),
        "" if best is None else f"{best:.3g}",
        "" if best is None else _span(rate["low"], rate["high"], "{:.3g}".format),
        *("" if row["steps"] is None else f"{row['others'][name]:.4g}" for name in others),
        f"{row['seeds_reached']} of {row['seeds']}",
        f"{edge} edge of the grid" if edge else "",
    ]


def protocols_table(summary: Mapping[str, Any]) -> str:
    """The best of the trials beside the minimum of the surface; empty for a grid."""
    rows = summary.get("best_of_trials")
    if not rows:
        return ""
    heads = (*BEST_OF, "surface", "interval")
    return table(
        heads, [_readings(row, surface) for row, surface in zip(rows, summary["steps_to_goal"], strict=True)]
    )


BEST_OF = ("batch size", "feasible", "fastest trial", "interval", "optimism", "interval")


def members_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of how many the best is, and its optimism, where a search changes settings; its steps are in the table above."""
    cells = [(size, feasible, *optimism) for size, feasible, _, _, *optimism in map(_best_of, rows)]
    return table(("batch size", "feasible", "optimism", "interval"), cells)


def pieces_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the fastest member of each row of the summary's `steps_to_goal` was trained with, piece by piece; empty where
    none reached the goal."""
    lines = [(row["batch_size"], piece) for row in rows for piece in row.get("pieces", ())]
    if not lines:
        return ""
    names = [name for name in lines[0][1] if name != "from_step"]
    return table(
        ("batch size", "from step", *names),
        [
            [f"{size:,}", f"{piece['from_step']:,}", *(f"{piece[name]:.4g}" for name in names)]
            for size, piece in lines
        ],
    )


def _readings(row: Mapping[str, Any], surface: Mapping[str, Any]) -> list[str]:
    never = surface["steps"] is None
    return [
        *_best_of(row),
        "never" if never else count(surface["steps"]),
        "" if never else _span(surface["low"], surface["high"]),
    ]


def _best_of(row: Mapping[str, Any]) -> list[str]:
    steps, more = row["steps"], row["optimism"]
    return [
        f"{row['batch_size']:,}",
        f"{row['feasible']} of {row['feasible'] + row['infeasible']}",
        "never" if steps is None else count(steps["best"]),
        "" if steps is None else _span(steps["low"], steps["high"]),
        "" if more is None else f"{more['best']:.2f}",
        "" if more is None else _span(more["low"], more["high"], "{:.2f}".format),
    ]


def study_entries(summary: Mapping[str, Any], result: Result) -> list[tuple[str, Any]]:
    """What was run: the summary's names and counts, and the values that were tried."""
    sizes, seeds = np.unique(result.batch_size), np.unique(result.seed)
    names = ("workload", "optimizer", "budget", "trials", "reached", "diverged")
    entries = [(name, summary[name]) for name in names]
    if isinstance(summary["budget"], int):
        entries[2] = ("budget", f"{summary['budget']:,} steps")
    entries.insert(2, ("goal", f"{result.goal} ({result.reached_by})"))
    entries += [("batch sizes", ", ".join(map(str, sizes))), ("seeds", listed(seeds.tolist()))]
    return entries + [(name, _values(result, name)) for name in result.plain_names]


def _values(result: Result, name: str) -> str:
    values = np.unique(result.hparams[name])
    first, last = (result.words(name, value) for value in values[[0, -1]])
    return f"{len(values)} values, {first} to {last}" if len(values) > 1 else first


def engine_entries(engine: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What the machine did; of a study that was read from its store not what is unknown."""
    return [(name, value) for name, value in engine.items() if value not in (0, [], (), "")]
