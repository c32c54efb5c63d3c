"""Steps to the goal of all trials of one workload and optimizer, as arrays in a small file, and studies cut from them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lr_batch import BUDGET, DIVERGED, REACHED, Curve, EngineReport, Goal, Result
from runs.write import write_atomically

# Of the dense truth. Log rate on either side of the best one: 1.5 times the spacing of the default grid.
SMOOTH_OVER = 0.8
TRIMMED = 0.25  # share of the seeds left out at either end: a seed may miss the goal, and one far off moves no truth


class TrialTable(NamedTuple):
    """Trials [sizes seeds rates]: steps to the goal (NaN not reached), steps trained, and whether they diverged."""

    name: str
    batch_sizes: Int[np.ndarray, " sizes"]
    seeds: Int[np.ndarray, " seeds"]
    rates: Float[np.ndarray, " rates"]
    steps_to_goal: Float[np.ndarray, "sizes seeds rates"]
    trained: Float[np.ndarray, "sizes seeds rates"]
    diverged: Bool[np.ndarray, "sizes seeds rates"]


def from_result(name: str, result: Result, grid: Sequence[float] | None = None) -> TrialTable:
    """Trials of one hyperparameter, the learning rate, as arrays.

    The rates of `grid`, ascending, are those of the tables to join it with: what was not trained has 0 steps.
    """
    rate = result.hparams["learning_rate"]
    axes = [np.unique(column, return_inverse=True) for column in (result.batch_size, result.seed)]
    (sizes, i), (seeds, j) = axes
    rates = np.unique(rate if grid is None else grid)
    k = np.searchsorted(rates, rate)
    columns = result.steps_to_goal, result.steps.astype(float), result.status == DIVERGED
    tables = [np.full((len(sizes), len(seeds), len(rates)), empty) for empty in (np.nan, 0.0, False)]
    for table, column in zip(tables, columns, strict=True):
        table[i, j, k] = column
    return TrialTable(name, sizes, seeds, rates, tables[0], tables[1], tables[2].astype(bool))


def cut(
    table: TrialTable,
    seeds: Sequence[int] | np.ndarray,
    rates: slice | Sequence[int] = slice(None),
    slack: float = 2.0,
) -> Result:
    """The study of some of the seeds (by place) and rates, as a race with `slack` would have left it."""
    steps, trained, diverged = (column[:, seeds][:, :, rates] for column in table[4:])
    first = np.where(np.isnan(steps), np.inf, steps).min(2, keepdims=True)
    longest = np.where(diverged, 1.0, trained).max(2, keepdims=True)
    stop = np.minimum(slack * first, longest)
    reached = steps <= stop
    status = np.where(reached, REACHED, np.where(diverged, DIVERGED, BUDGET))
    size, seed, rate = np.broadcast_arrays(
        table.batch_sizes[:, None, None],
        np.asarray(table.seeds)[seeds][:, None],
        table.rates[rates],
    )
    run = (trained > 0).ravel()
    return Result(
        workload=table.name,
        optimizer="",
        goal=Goal("goal", 0.0),
        budget=int(trained.max()),
        batch_size=size.ravel()[run],
        seed=seed.ravel()[run],
        hparams={"learning_rate": rate.ravel()[run].astype(float)},
        steps_to_goal=np.where(reached, steps, np.nan).ravel()[run],
        steps=np.ceil(np.where(diverged, 1.0, np.broadcast_to(stop, steps.shape))).astype(int).ravel()[run],
        status=status.ravel()[run].astype(object),
        curves=(Curve(np.zeros(0, int), np.zeros(0)),) * int(run.sum()),
        engine=EngineReport(0.0, 0.0, 0, 0, "", len(table.rates), 0.0),
    )


class Dense(NamedTuple):
    """Log steps and log best rate per batch size, NaN where a quarter of the seeds do not reach the goal at any rate."""

    log_steps: Float[np.ndarray, " sizes"]
    log_rate: Float[np.ndarray, " sizes"]


def dense_truth(table: TrialTable) -> Dense:
    """From all seeds and rates, without an assumed shape: the interquartile mean over seeds of the log steps at each
    rate, smoothed by a local cubic in log rate (tricube weights), at its minimum."""
    log_steps = np.sort(np.where(np.isnan(table.steps_to_goal), np.inf, np.log(table.steps_to_goal)), axis=1)
    cut_off = int(TRIMMED * len(table.seeds))
    middle = log_steps[:, cut_off : len(table.seeds) - cut_off].mean(axis=1)
    return Dense(*np.array([_lowest(np.log(table.rates), row) for row in middle]).T)


def truth_error(table: TrialTable, draws: int = 100) -> Dense:
    """Standard deviation of the dense truth over draws of its seeds with replacement."""
    rng, found = np.random.default_rng(0), []
    for _ in range(draws):
        seeds = rng.integers(0, len(table.seeds), len(table.seeds))
        found.append(dense_truth(table._replace(steps_to_goal=table.steps_to_goal[:, seeds])))
    return Dense(*(np.nanstd(np.array(column), axis=0) for column in zip(*found, strict=True)))


def _lowest(log_rate: np.ndarray, log_steps: np.ndarray) -> tuple[float, float]:
    if not np.isfinite(log_steps).any():
        return np.nan, np.nan
    best = int(np.argmin(log_steps))
    offset = log_rate - log_rate[best]
    near = np.isfinite(log_steps) & (np.abs(offset) < SMOOTH_OVER)
    weight = (1.0 - (np.abs(offset[near]) / SMOOTH_OVER) ** 3) ** 1.5
    degree = min(3, int(near.sum()) - 1)
    cubic = np.polyfit(offset[near], log_steps[near], degree, w=weight)
    fine = np.linspace(offset[near].min(), offset[near].max(), 401)
    values = np.polyval(cubic, fine)
    return float(values.min()), float(log_rate[best] + fine[values.argmin()])


def save(table: TrialTable, path: Path) -> None:
    """Compressed, without pickle; steps in single precision."""
    columns = table._asdict() | {
        "steps_to_goal": table.steps_to_goal.astype(np.float32),
        "trained": table.trained.astype(np.int32),
    }
    data = io.BytesIO()
    np.savez_compressed(data, **columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data.getvalue())


def load(path: Path) -> TrialTable:
    with np.load(path, allow_pickle=False) as stored:
        columns = {name: stored[name] for name in TrialTable._fields}
    columns |= {"name": str(columns["name"]), "steps_to_goal": columns["steps_to_goal"].astype(float)}
    return TrialTable(**columns)


def join(tables: Sequence[TrialTable]) -> TrialTable:
    """Tables of different batch sizes as one."""
    tables = sorted(tables, key=lambda table: int(table.batch_sizes[0]))
    stacked = {name: np.concatenate([getattr(t, name) for t in tables]) for name in TrialTable._fields[4:]}
    sizes = np.concatenate([table.batch_sizes for table in tables])
    return tables[0]._replace(batch_sizes=sizes, **stacked)
