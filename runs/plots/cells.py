"""Trials grouped into cells: all seeds of one setting at one batch size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lr_batch import DIVERGED, REACHED, Result

# What became of a cell, best first: of cells that share a place in a figure the smallest is shown.
REACHED_CELL, OUTPACED_CELL, BUDGET_CELL, DIVERGED_CELL, NOT_RUN = range(5)
CELL_LABELS = (
    "reached the goal",
    "outpaced: stopped before its budget",
    "budget spent",
    "diverged",
    "not measured",
)


class Cells(NamedTuple):
    """`steps[b, s]`: median over seeds of the steps to the goal at `batch_sizes[b]` with
    `settings[:][s]`, seeds that did not reach it counting as infinite; inf where that is
    half of the seeds or more, or where the cell was not run. `outcome[b, s]`: one of the constants above.
    `trial_cell`: for each trial its b and its s."""

    batch_sizes: Int[np.ndarray, " batch"]
    settings: Mapping[str, Float[np.ndarray, " settings"]]
    steps: Float[np.ndarray, "batch settings"]
    outcome: Int[np.ndarray, "batch settings"]
    trial_cell: Int[np.ndarray, "2 trials"]

    def best(self) -> Int[np.ndarray, " batch"]:
        """Index of the fastest setting of each batch size, -1 where none reached the goal."""
        fastest = np.argmin(self.steps, axis=1)
        return np.where(np.isfinite(self.steps.min(axis=1)), fastest, -1)


def cells(result: Result) -> Cells:
    """Groups the trials of `result` by batch size and setting."""
    batch_sizes, row = np.unique(result.batch_size, return_inverse=True)
    names = tuple(result.hparams)
    table = np.stack([result.hparams[name] for name in names])
    settings, column = np.unique(table, axis=1, return_inverse=True)
    shape = (len(batch_sizes), settings.shape[1])
    group = np.ravel_multi_index((row.ravel(), column.ravel()), shape)
    steps = _medians(result.steps_to_goal, group, shape[0] * shape[1])
    outcome = np.where(np.isfinite(steps), REACHED_CELL, _failures(result, group, len(steps)))
    return Cells(
        batch_sizes,
        dict(zip(names, settings, strict=True)),
        steps.reshape(shape),
        outcome.reshape(shape),
        np.stack([row.ravel(), column.ravel()]),
    )


def _medians(steps: np.ndarray, group: np.ndarray, size: int) -> np.ndarray:
    """Median of each group with NaN as infinity; infinity for groups without trials."""
    steps = np.where(np.isnan(steps), np.inf, steps)
    ordered = steps[np.lexsort((steps, group))]
    count = np.bincount(group, minlength=size)
    start = np.cumsum(count) - count
    medians = np.full(size, np.inf)
    run = count > 0
    lower, upper = start + (count - 1) // 2, start + count // 2
    medians[run] = (ordered[lower[run]] + ordered[upper[run]]) / 2
    return medians


def _failures(result: Result, group: np.ndarray, size: int) -> np.ndarray:
    """The commonest reason in each group for not reaching the goal; NOT_RUN without trials."""
    status = np.asarray(result.status)
    failed = status != REACHED
    reasons = {
        OUTPACED_CELL: failed & (status != DIVERGED) & ~result.spent,
        BUDGET_CELL: failed & (status != DIVERGED) & result.spent,
        DIVERGED_CELL: status == DIVERGED,
    }
    counts = np.stack([np.bincount(group, weights=mask, minlength=size) for mask in reasons.values()])
    commonest = np.array(list(reasons))[np.argmax(counts, axis=0)]
    return np.where(counts.sum(axis=0) > 0, commonest, NOT_RUN)


class RateGrid(NamedTuple):
    """Cells laid out for a picture of batch size against learning rate: `rates[r]` is the
    middle of row r, `edges[r]` its lower edge; other hyperparameters at their best."""

    rates: Float[np.ndarray, " rates"]
    edges: Float[np.ndarray, " rates+1"]
    steps: Float[np.ndarray, "rates batch"]
    outcome: Int[np.ndarray, "rates batch"]
    row_of_setting: Int[np.ndarray, " settings"]


# Above this many different rates (a random search, say) they are pooled in log-spaced rows.
_MAX_ROWS, _POOLED_ROWS = 60, 32


def rate_grid(table: Cells) -> RateGrid:
    """The best cell of every (learning rate, batch size); `result.hparams` must have the rate."""
    rate = table.settings["learning_rate"]
    rates = np.unique(rate)
    if len(rates) > _MAX_ROWS:
        edges = np.geomspace(rates[0], rates[-1], _POOLED_ROWS + 1)
        rates = np.sqrt(edges[1:] * edges[:-1])
    else:
        edges = geometric_edges(rates)
    row = np.clip(np.searchsorted(edges, rate, side="right") - 1, 0, len(rates) - 1)
    steps = np.full((len(rates), len(table.batch_sizes)), np.inf)
    outcome = np.full(steps.shape, NOT_RUN)
    np.minimum.at(steps, row, table.steps.T)
    np.minimum.at(outcome, row, table.outcome.T)
    return RateGrid(rates, edges, steps, outcome, row)


def cell_boxes(
    where: Int[np.ndarray, "cells 2"], edges: Float[np.ndarray, " batch+1"], grid: RateGrid
) -> list[list[tuple[float, float]]]:
    """The corners of cells (row of the rate, number of the batch size); `edges` are those of the batch sizes."""
    corner = lambda b, r: (float(edges[b]), float(grid.edges[r]))
    return [[corner(b, r), corner(b + 1, r), corner(b + 1, r + 1), corner(b, r + 1)] for r, b in where]


def geometric_edges(centres: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n+1"]:
    """Edges of cells around ascending positive `centres`: geometric means between neighbours."""
    if len(centres) == 1:
        return centres[0] * np.array([2**-0.5, 2**0.5])
    inner = np.sqrt(centres[1:] * centres[:-1])
    return np.concatenate([[centres[0] ** 2 / inner[0]], inner, [centres[-1] ** 2 / inner[-1]]])
