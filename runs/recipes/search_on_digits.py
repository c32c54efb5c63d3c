"""Searches of AdamW's four hyperparameters on the handwritten digits, repeated with other seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from hparam import Space, log, log1m
from lr_batch import Study
from runs.atomic import write_atomically
from runs.plots import style
from runs.tuning import Tuning, TuningPlan, tune
from runs.tuning.plan import study_of
from runs.tuning.trainer import Trainer
from runs.tuning.tune import steps_of

SPACE = Space(
    {
        "learning_rate": log(1e-5, 1.0),
        "b1": log1m(0.5, 0.99),
        "b2": log1m(0.9, 0.9999),
        "weight_decay": log(1e-4, 10.0),
    }
)
BATCH_SIZE, BUDGET = 32, 243
TRIALS = 64
FRESH_SEEDS = 4
COLUMNS = ("method", "repeat", "cost", "best", "fresh")


class Method(NamedTuple):
    """A search with its options, at the cost of `trials` full-length trials."""

    name: str
    search: str
    color: str
    trials: int = TRIALS
    options: Mapping[str, Any] = {}


RANDOM = Method("random", "random", style.MUTED)
QUASI_RANDOM = Method("quasi-random", "quasi_random", style.GREEN)
BAYES = Method("bayes", "bayes", style.VERMILION)


class Run(NamedTuple):
    """One search: `best[i]` is the lowest full-length loss after `cost[i]` full-length trials' worth of examples.

    `fresh` is the winner's mean loss on seeds that the search has not seen.
    """

    method: str
    repeat: int
    cost: Float[np.ndarray, " rounds"]
    best: Float[np.ndarray, " rounds"]
    fresh: float


def study(budget: int = BUDGET) -> Study:
    return study_of(SPACE, {}, workload="digits_mlp", optimizer="adamw", batch_sizes=(BATCH_SIZE,), budget=budget)


def run_all(
    folder: Path, methods: tuple[Method, ...], repeats: int, *, quick: bool = False, note: Callable = print
) -> list[Run]:
    """Runs what is missing of every method and repeat; each method has a table in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shared, runs = None, []
    small = study(budget=27) if quick else study()
    for method in methods:
        path = folder / f"digits-{method.name}.csv"
        done = read(path)
        for repeat in range(len(done), repeats):
            plan = plan_of(small, method, repeat, quick=quick)
            shared = Trainer(plan) if shared is None else shared
            done.append(summarize(method, repeat, tune(plan, trainer=shared.sharing_programs(plan))))
            write(path, done)
            note(f"{method.name}, repeat {repeat}: fresh loss {done[-1].fresh:.4f}")
        runs += done[:repeats]
    return runs


def plan_of(study: Study, method: Method, repeat: int, *, quick: bool = False) -> TuningPlan:
    """Repeats differ in the draws of the search, the initial parameters and the order of examples."""
    return TuningPlan(
        study=study, space=SPACE, search=method.search, options=method.options, ask=16, width=8, seed=repeat,
        trials=min(16, method.trials) if quick else method.trials, confirm=1 if quick else FRESH_SEEDS,
    )  # fmt: skip


def summarize(method: Method, repeat: int, tuning: Tuning) -> Run:
    budget, costs, best, lowest = tuning.plan.study.budget, [], [], np.inf
    for told in tuning.rounds:
        full = told.proposal.start + steps_of(told.proposal, budget) == budget
        lowest = min(lowest, np.min(told.losses, where=full, initial=np.inf))
        costs.append(told.cost / budget)
        best.append(lowest)
    fresh = float(np.mean(tuning.finalists[0].fresh)) if tuning.finalists else np.inf
    return Run(method.name, repeat, np.array(costs), np.array(best), fresh)


def read(path: Path) -> list[Run]:
    """Runs of one table, which may be missing."""
    if not path.exists():
        return []
    numbers = lambda text: np.array([float(value) for value in text.split()])  # noqa: E731
    with path.open(newline="") as file:
        return [
            Run(row["method"], int(row["repeat"]), numbers(row["cost"]), numbers(row["best"]), float(row["fresh"]))
            for row in csv.DictReader(file)
        ]


def write(path: Path, runs: list[Run]) -> None:
    """One line for each run; the numbers of its rounds stand in one field, apart by blanks."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for run in runs:
        series = (" ".join(f"{value:.6g}" for value in values) for values in (run.cost, run.best))
        lines.writerow([run.method, run.repeat, *series, f"{run.fresh:.6g}"])
    write_atomically(path, text.getvalue().encode())


class Ratio(NamedTuple):
    """A geometric mean over paired repeats with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ratio(one: list[Run], other: list[Run], of: Callable[[Run], float] = lambda run: run.fresh) -> Ratio:
    """How many times the loss of `one` exceeds that of `other`, repeat by repeat on equal seeds."""
    logs = np.log([of(a) / of(b) for a, b in zip(one, other, strict=True)])
    chosen = np.random.default_rng(0).integers(len(logs), size=(4000, len(logs)))
    low, high = np.exp(np.quantile(logs[chosen].mean(axis=1), [0.025, 0.975]))
    return Ratio(float(np.exp(logs.mean())), float(low), float(high))


def of_method(runs: list[Run], method: Method) -> list[Run]:
    return [run for run in runs if run.method == method.name]


def best_at(run: Run, cost: Float[np.ndarray, " costs"]) -> Float[np.ndarray, " costs"]:
    """The best loss at each cost, infinite before the first round was paid for."""
    return np.concatenate([[np.inf], run.best])[np.searchsorted(run.cost, cost, side="right")]
