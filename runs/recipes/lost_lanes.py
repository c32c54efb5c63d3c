"""What brisk races save, and how far they move the answers.

    python -m runs.recipes.lost_lanes --folders DIR ...   # studies of `lr-batch curve --no-follow --no-extend`

Nothing is trained: the curves of the studies are replayed, see `lr_batch.problem.brisk` for the rule. A lane is
misjudged that is let go as behind and would have reached the goal in the race; of each batch size and seed the first
lane to reach it never is, since nothing is let go before. Each study is replayed on its whole grid and on the windows
that `--follow` measures of it, with lanes executed one by one and in blocks, of which a block takes its time as long
as one of its lanes is trained. A move is the distance of two answers over the width of the whole race's interval,
both of logarithms. A minute for each study.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

import lr_batch
from lr_batch import BUDGET, Result
from lr_batch.engine import BLOCK, SAFETY, averaged
from runs.curve.run import stored_result
from runs.recipes.coverage import numbers
from runs.recipes.ridge_window import SLACK, followed, measured
from runs.text import table
from runs.write import json_text, write_atomically

SAFETIES = (1.0, 2.0, SAFETY)
OUT = Path("runs/results/lost_lanes/lost_lanes.json")


class Cell(NamedTuple):
    """The race of a batch size and seed: the trials' rows in the result, by ascending rate; average of the metric of each
    lane, the lower the better, NaN from where it had diverged on."""

    batch_size: int
    rows: Int[np.ndarray, " lanes"]
    steps: Int[np.ndarray, " evals"]
    average: Float[np.ndarray, "evals lanes"]
    steps_to_goal: Float[np.ndarray, " lanes"]

    @property
    def trained(self) -> Bool[np.ndarray, "evals lanes"]:
        """Which lanes take the steps before each evaluation where none is let go."""
        return np.vstack([np.ones((1, len(self.rows)), bool), np.isfinite(self.average[:-1])])

    @property
    def reached(self) -> Bool[np.ndarray, "evals lanes"]:
        return self.steps_to_goal <= self.steps[:, None]


def cells_of(result: Result) -> Iterator[Cell]:
    for size in np.unique(result.batch_size):
        for seed in np.unique(result.seed):
            rows = np.flatnonzero((result.batch_size == size) & (result.seed == seed))
            rows = rows[np.argsort(result.hparams["learning_rate"][rows])]
            steps = max((result.curves[row].steps for row in rows), key=len)
            values = np.full((len(steps), len(rows)), np.nan)
            for lane, row in enumerate(rows):
                values[: len(result.curves[row].values), lane] = result.curves[row].values
            average = averaged(steps, values, result.time_constant, result.goal.metric) * result.goal.sign
            yield Cell(int(size), rows, steps, average, result.steps_to_goal[rows])


def behind(cell: Cell, safety: float) -> Bool[np.ndarray, "evals lanes"]:
    """Which lanes have been let go after each evaluation as no better than the best one was."""
    best = np.minimum.accumulate(np.where(np.isfinite(cell.average), cell.average, np.inf).min(1))
    earlier = np.searchsorted(cell.steps, cell.steps / (safety * SLACK), side="right") - 1
    told = cell.steps >= np.where(np.isnan(cell.steps_to_goal), np.inf, cell.steps_to_goal).min()
    found = ~(cell.average < best[earlier][:, None]) & told[:, None] & ~cell.reached
    return np.logical_or.accumulate(found)


def examples(
    cell: Cell, asked: Bool[np.ndarray, " lanes"], gone: Bool[np.ndarray, "evals lanes"], block: int
) -> float:
    """Of the lanes that are asked for, in blocks that are trained as long as one of their lanes is."""
    before = np.vstack([np.zeros((1, gone.shape[1]), bool), gone[:-1]])
    takes = (cell.trained & ~before)[:, asked]
    blocks = np.pad(takes, ((0, 0), (0, -takes.shape[1] % block))).reshape(len(takes), -1, block).any(2)
    steps = np.diff(cell.steps, prepend=0)
    return float(cell.batch_size * block * (steps[:, None] * blocks).sum())


def brisk(result: Result, safety: float) -> tuple[Result, int]:
    """The study as brisk races leave it, and how many lanes were misjudged."""
    to_goal, steps, status, misjudged = (
        *(c.copy() for c in (result.steps_to_goal, result.steps, result.status)),
        0,
    )
    for cell in cells_of(result):
        gone = behind(cell, safety)
        lanes = np.flatnonzero(
            gone[-1] & np.isfinite(cell.average[gone.argmax(0), np.arange(len(cell.rows))])
        )
        misjudged += int(np.isfinite(cell.steps_to_goal[lanes]).sum())
        rows = cell.rows[lanes]
        to_goal[rows], status[rows] = np.nan, BUDGET
        steps[rows] = cell.steps[gone.argmax(0)[lanes]]
    return result._replace(steps_to_goal=to_goal, steps=steps, status=status), misjudged


def saved(result: Result, asked: Bool[np.ndarray, " trials"], safety: float, block: int) -> float:
    """Of the examples that are asked for."""
    whole = short = 0.0
    for cell in cells_of(result):
        own, gone = asked[cell.rows], behind(cell, safety) | cell.reached
        whole += examples(cell, own, np.zeros_like(gone), block)
        short += examples(cell, own, gone, block)
    return 1 - short / whole


def windows(result: Result) -> Bool[np.ndarray, " trials"]:
    """Which trials `--follow` measures."""
    trials = measured(result)
    at = (
        np.searchsorted(trials.batch_sizes, result.batch_size),
        np.unique(result.seed, return_inverse=True)[1],
        np.searchsorted(trials.rates, result.hparams["learning_rate"]),
    )
    return ~np.isnan(followed(trials).steps)[at]


def replayed(result: Result) -> dict[str, Any]:
    """With the safety that is in use, and how many lanes others would misjudge."""
    asked = {"grid": np.ones(result.num_trials, bool), "follow": windows(result)}
    return {
        "trials": result.num_trials,
        "reached": int(np.isfinite(result.steps_to_goal).sum()),
        "misjudged": {f"{safety:g}": brisk(result, safety)[1] for safety in SAFETIES},
        "saved": {
            name + lanes: saved(result, trials, SAFETY, block)
            for name, trials in asked.items()
            for lanes, block in (("", 1), (", blocks", BLOCK))
        },
        **moves(result, brisk(result, SAFETY)[0]),
    }


def moves(result: Result, other: Result) -> dict[str, float]:
    """Of B_crit, and the largest of any answer; infinite where one is missing."""
    own, changed = (numbers(lr_batch.critical_batch_size(each)) for each in (result, other))
    moved = {
        name: abs(np.log(changed[name].best / whole.best)) / np.log(whole.high / whole.low)
        if name in changed
        else np.inf
        for name, whole in own.items()
        if whole.low < whole.high
    }
    return {"move of B_crit": float(moved["critical batch size"]), "largest move": float(max(moved.values()))}


def show(outcome: dict[str, Any]) -> None:
    from rich import print as say

    first = next(iter(outcome.values()))
    misjudged = (f"misjudged at {safety}" for safety in first["misjudged"])
    headings = ("study", "reached", *misjudged, *first["saved"], "B_crit moved", "largest move")
    rows = [
        (
            name,
            f"{row['reached']} of {row['trials']}",
            *row["misjudged"].values(),
            *(f"{share:.0%}" for share in row["saved"].values()),
            f"{row['move of B_crit']:.2f}",
            f"{row['largest move']:.2f}",
        )
        for name, row in outcome.items()
    ]
    say(table(headings, rows, left=1))


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m runs.recipes.lost_lanes")
    parser.add_argument("--folders", type=Path, nargs="*", default=[], help="studies of the whole grid")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    outcome = json.loads(options.out.read_text()) if options.out.exists() else {}
    for folder in options.folders:
        result = stored_result(folder)
        outcome[f"{result.workload}-{result.optimizer}"] = replayed(result)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out, json_text(outcome).encode())
    show(outcome)
    return outcome


if __name__ == "__main__":
    main()
