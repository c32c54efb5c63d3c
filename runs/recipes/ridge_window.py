"""What following the best rate through the grid saves, and how far it moves the answers.

    python -m runs.recipes.ridge_window                    # pairs of runs/results/coverage, 40 studies of 4 seeds each
    python -m runs.recipes.ridge_window --folders DIR ...  # studies of `lr-batch curve` that measured their whole grid

Nothing is trained: a trial is the same whether its neighbours are measured or not, so the rounds of `--follow` are
replayed on trials that are there. A study of the whole default grid and what `--follow` would have measured of it are
analysed alike. A move is the distance of two answers over the width of the whole grid's interval, both of logarithms.
Expect 41 to 46 % of the examples, no edge of a grid missed, and all but a few answers within a quarter; ten minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

import lr_batch
import optim
from lr_batch import BUDGET, REACHED, Curve, EngineReport, Goal, Result
from lr_batch.following import to_measure
from runs.curve.run import stored_result
from runs.recipes.coverage import FINER, FOLDER, collected, groups, numbers
from runs.text import table
from runs.write import json_text, write_atomically

PAIRS = ("digits_mlp-sgd", "digits_mlp-adam", "digits_mlp-muon")
SEEDS, PARTITIONS, SLACK = 4, 4, 2.0
OUT = Path("runs/results/following/following.json")


class Trials(NamedTuple):
    """Steps to the goal [sizes seeds rates], infinite where it was not reached; how long trials were trained at most."""

    batch_sizes: Int[np.ndarray, " sizes"]
    rates: Float[np.ndarray, " rates"]
    steps: Float[np.ndarray, "sizes seeds rates"]
    longest: Float[np.ndarray, "sizes seeds"]

    def of(self, seeds: np.ndarray) -> Trials:
        return self._replace(steps=self.steps[:, seeds], longest=self.longest[:, seeds])


class Study(NamedTuple):
    """What of `Trials` is measured, and for how long each of it is trained, NaN where it is not; in how many rounds."""

    trials: Trials
    steps: Float[np.ndarray, "sizes seeds rates"]
    trained: Float[np.ndarray, "sizes seeds rates"]
    rounds: int = 1

    @property
    def examples(self) -> float:
        return float(np.nansum(self.trained * self.trials.batch_sizes[:, None, None]))

    @property
    def result(self) -> Result:
        size, seed, rate = np.broadcast_arrays(
            self.trials.batch_sizes[:, None, None], np.arange(self.steps.shape[1])[:, None], self.trials.rates
        )
        run = ~np.isnan(self.steps)
        reached = np.isfinite(self.steps[run])
        return Result(
            workload="",
            optimizer="",
            goal=Goal("goal", 0.0),
            budget=int(np.nanmax(self.trained)) + 1,
            batch_size=size[run],
            seed=seed[run],
            hparams={"learning_rate": rate[run].astype(float)},
            steps_to_goal=np.where(reached, self.steps[run], np.nan),
            steps=np.ceil(self.trained[run]).astype(int),
            status=np.where(reached, REACHED, BUDGET).astype(object),
            curves=(Curve(np.zeros(0, int), np.zeros(0)),) * int(run.sum()),
            engine=EngineReport(0.0, 0.0, 0, 0, "", len(self.trials.rates), 0.0),
        )


def whole(trials: Trials) -> Study:
    """The race of every batch size and seed over the whole grid."""
    end = np.minimum(SLACK * trials.steps.min(2), trials.longest)[:, :, None]
    trained = np.broadcast_to(end, trials.steps.shape)
    return Study(trials, np.where(trials.steps <= end, trials.steps, np.inf), trained)


def followed(trials: Trials) -> Study:
    """Round after round, each raced against the best of those before."""
    steps, trained = (np.full(trials.steps.shape, np.nan) for _ in range(2))
    log_rate, log_size, rounds = np.log(trials.rates), np.log(trials.batch_sizes.astype(float)), 0
    while (wanted := to_measure(log_rate, log_size, steps)).any():
        first = np.minimum(
            np.where(np.isnan(steps), np.inf, steps).min(2), np.where(wanted, trials.steps, np.inf).min(2)
        )
        end = np.broadcast_to(np.minimum(SLACK * first, trials.longest)[:, :, None], steps.shape)
        steps = np.where(wanted, np.where(trials.steps <= end, trials.steps, np.inf), steps)
        trained = np.where(wanted, end, trained)
        rounds += 1
    return Study(trials, steps, trained, rounds)


def dense(pair: str) -> Trials:
    """The trials of a pair of `runs.recipes.coverage` at the rates of the default grid. Rates that are not there
    are so far from the best that they never reach the goal in the race."""
    kept = collected(pair, FOLDER)
    rates = np.array(optim.OPTIMIZERS[pair.rsplit("-", 1)[1]].space["learning_rate"])
    at = [int(np.abs(np.log(rates / rate)).argmin()) for rate in kept.rates[::FINER]]
    steps = np.full((len(kept.batch_sizes), len(kept.seeds), len(rates)), np.inf)
    known = kept.steps_to_goal[:, :, ::FINER]
    steps[:, :, at] = np.where(np.isnan(known), np.inf, known)
    return Trials(kept.batch_sizes, rates, steps, kept.trained.max(2))


def measured(result: Result) -> Trials:
    """The trials of a study that measured its whole grid, at one setting of everything but the rate."""
    axes = (result.batch_size, result.seed, result.hparams["learning_rate"])
    (sizes, i), (seeds, j), (rates, k) = (np.unique(column, return_inverse=True) for column in axes)
    steps = np.full((len(sizes), len(seeds), len(rates)), np.nan)
    if result.num_trials != steps.size:
        raise ValueError(
            f"ridge_window: {result!r} is no whole grid of one setting beside the rate: run lr-batch curve with "
            "--no-follow --no-extend"
        )
    trained = np.zeros(steps.shape)
    steps[i, j, k] = np.where(np.isnan(result.steps_to_goal), np.inf, result.steps_to_goal)
    trained[i, j, k] = result.steps
    return Trials(sizes, rates, steps, trained.max(2))


def compared(studies: Iterator[Trials]) -> dict[str, Any]:
    """Shares of examples and trials, rounds, edges that differ, and the moves of each kind of answer."""
    rows, moves = [], {}
    for trials in studies:
        full, part = whole(trials), followed(trials)
        answers = [lr_batch.critical_batch_size(study.result) for study in (full, part)]
        edges = [[row.edge for row in answer.optima] for answer in answers]
        rows.append(
            (
                part.examples / full.examples,
                np.mean(~np.isnan(part.steps)),
                part.rounds,
                sum(a != b for a, b in zip(*edges, strict=True)),
            )
        )
        own, other = map(numbers, answers)
        for name, estimate in own.items():
            there = name in other
            move = abs(np.log(other[name].best / estimate.best)) if there else np.inf
            kind = name.split(" at ")[0]
            moves.setdefault(kind, []).append(move / np.log(estimate.high / estimate.low))
    examples, lanes, rounds, edges = np.array(rows).T
    return {
        "studies": len(rows),
        "examples": [float(examples.mean()), float(examples.max())],
        "trials": float(lanes.mean()),
        "rounds": int(rounds.max()),
        "edges_that_differ": int(edges.sum()),
        "moves": {kind: _spread(np.array(values)) for kind, values in moves.items()},
    }


def _spread(moves: np.ndarray) -> dict[str, float]:
    return {
        "answers": len(moves),
        "mean": float(moves.mean()),
        "largest": float(moves.max()),
        "within_a_quarter": float((moves <= 0.25).mean()),
    }


def show(outcome: dict[str, dict[str, Any]]) -> None:
    from rich import print as say

    headings = ("study", "examples", "at most", "trials", "rounds", "edges", "largest move of B_crit")
    rows = [
        (
            name,
            *(f"{share:.0%}" for share in (*row["examples"], row["trials"])),
            row["rounds"],
            row["edges_that_differ"],
            f"{row['moves']['critical batch size']['largest']:.2f}",
        )
        for name, row in outcome.items()
    ]
    say(table(headings, rows, left=1))
    headings = ("study", "answer", "how many", "mean move", "largest", "within a quarter")
    rows = [
        (name, kind, m["answers"], f"{m['mean']:.3f}", f"{m['largest']:.2f}", f"{m['within_a_quarter']:.1%}")
        for name, row in outcome.items()
        for kind, m in row["moves"].items()
    ]
    say(table(headings, rows, left=2))


def main(arguments: Sequence[str] | None = None, *, quick: bool = False) -> dict[str, dict[str, Any]]:
    """`quick` is one study of four seeds of the first pair."""
    parser = argparse.ArgumentParser(prog="python -m runs.recipes.ridge_window")
    parser.add_argument("--pairs", default=",".join(PAIRS), help="of runs/results/coverage; empty for none")
    parser.add_argument("--folders", type=Path, nargs="*", default=[], help="studies of the whole grid")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    outcome = json.loads(options.out.read_text()) if options.out.exists() else {}
    for pair in filter(None, options.pairs.split(",")[: 1 if quick else None]):
        trials = dense(pair)
        seeds = [*groups(trials.steps.shape[1], SEEDS, PARTITIONS)][: 1 if quick else None]
        outcome[f"{pair}, {SEEDS} of {trials.steps.shape[1]} seeds"] = compared(map(trials.of, seeds))
    for folder in options.folders:
        result = stored_result(folder)
        name = f"{result.workload}-{result.optimizer}, {len(np.unique(result.seed))} seeds"
        outcome[name] = compared(iter([measured(result)]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out, json_text(outcome).encode())
    show(outcome)
    return outcome


if __name__ == "__main__":
    main()
