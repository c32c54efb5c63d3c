"""What the fastest members of populations were trained with, in words, as a table and for `summary.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from lr_batch import Optimum, Piece, Result, pieces, steps_of_trials
from optim.names import listed
from runs.text import table

ABOUT = (
    "a setting that changes while it is trained has no place on a smooth surface, so steps are those of the fastest "
    "member alone; intervals are over seeds, not over other populations"
)
HEADING = "What the fastest member at each batch size was trained with, as far as the goal:"


def changed(result: Result) -> bool:
    """Whether a search changed settings while they were trained."""
    return bool(result.searched and result.searched.changes)


def about_members(result: Result, optima: Sequence[Optimum]) -> list[str]:
    """What holds of all numbers, and where nothing was exchanged before the goal, which is a random search then."""
    assert result.searched
    budget = lambda size: int(steps_of_trials(result.budget, size, result.batch_schedule))
    first = lambda size: (
        min(result.searched.exchanges(budget(size)), default=budget(size)) if result.searched else 0
    )
    early = [
        f"{row.batch_size:,}"
        for row in optima
        if row.steps is not None and row.steps <= first(row.batch_size)
    ]
    if not early:
        return [ABOUT]
    return [
        ABOUT,
        f"the goal was reached before members were exchanged for the first time at {listed('batch size', early)}: take "
        "an earlier exchange (--option interval=1%), a lower budget, or a harder goal",
    ]


def lineage_words(result: Result, optimum: Optimum) -> str:
    """The schedule of the fastest member, such as "learning_rate 0.18, from step 6 on 0.48"."""
    first, *later = pieces(result, optimum)
    one = len(first.setting) == 1
    said = [_setting(result, first)]
    for piece in later:
        values = _setting(result, piece)
        said.append(f"from step {piece.start:,} on {values.partition(' ')[2] if one else values}")
    return (", " if one else "; ").join(said)


def _setting(result: Result, piece: Piece) -> str:
    return ", ".join(f"{name} {result.words(name, value)}" for name, value in piece.setting.items())


def lineage_table(result: Result, optima: Sequence[Optimum]) -> Table:
    """One row for each piece of each batch size that reached the goal."""
    assert result.searched
    rows = [
        (
            "" if number else f"{row.batch_size:,}",
            f"{piece.start:,}",
            *(result.words(name, value) for name, value in piece.setting.items()),
        )
        for row in optima
        if row.steps is not None
        for number, piece in enumerate(pieces(result, row))
    ]
    return table(("batch", "from step", *result.searched.axes), rows)


def pieces_summary(result: Result, optimum: Optimum) -> dict[str, Any]:
    """For a row of `summary.json`; nothing where settings stay, or the goal was not reached."""
    if not changed(result) or optimum.steps is None:
        return {}
    return {"pieces": [{"from_step": piece.start, **piece.setting} for piece in pieces(result, optimum)]}
