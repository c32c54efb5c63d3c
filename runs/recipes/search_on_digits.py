"""Searches of AdamW's four hyperparameters on the handwritten digits, repeated with other seeds."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optax
from jaxtyping import Float

import optim
from hparam import Segment, Space, log, log1m
from hparam.search import to_proposal
from hparam.tuning import Tuning, TuningPlan, tune
from hparam.tuning.plan import study_of
from hparam.tuning.trainer import Trainer
from hparam.tuning.tune import steps_of
from lr_batch import LEVEL, Programs, Study
from runs.plots import style
from runs.write import write_atomically

SPACE = Space(
    {
        "learning_rate": log(1e-5, 1.0),
        "b1": log1m(0.5, 0.99),
        "b2": log1m(0.9, 0.9999),
        "weight_decay": log(1e-4, 10.0),
    }
)
WORKLOAD = "digits_mlp"
BATCH_SIZE, BUDGET = 16, 108
TRIALS = 64
FRESH_SEEDS = 16
FRESH = 1_000  # a search seed beyond all repeats
COLUMNS = ("method", "repeat", "cost", "best", "winner", "fresh")


class Method(NamedTuple):
    """A search with its options, at the cost of `trials` full-length trials."""

    name: str
    search: str
    color: str
    trials: int = TRIALS
    options: tuple[tuple[str, Any], ...] = ()


RANDOM = Method("random", "random", style.MUTED)
QUASI_RANDOM = Method("quasi-random", "quasi_random", style.GREEN)
BAYES = Method("bayes", "bayes", style.VERMILION)


class Run(NamedTuple):
    """One search: `best[i]` is the lowest full-length loss at the cost of `cost[i]` full-length trials.

    `winner` is the setting with that loss in the end, `fresh` its mean loss on seeds that no search has seen.
    """

    method: str
    repeat: int
    cost: Float[np.ndarray, " rounds"]
    best: Float[np.ndarray, " rounds"]
    winner: Float[np.ndarray, " dims"]
    fresh: float


def adamw(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    """With decay times the rate, which is the weight decay that people search."""
    return optim.adamw(**hparams, decay="rate")


def study(workload: str, budget: int) -> Study:
    fields = {"workload": workload, "optimizer": adamw, "batch_sizes": (BATCH_SIZE,)}
    return study_of(SPACE, {}, **fields, budget=budget)


def run_all(
    folder: Path,
    methods: tuple[Method, ...],
    repeats: int,
    workload: str = WORKLOAD,
    *,
    quick: bool = False,
    note: Callable[[str], Any] = print,
) -> list[Run]:
    """Runs what is missing of every method and repeat; each method has a table in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    trained = study(workload, budget=27 if quick else BUDGET)
    programs = Programs()
    paths = {method: folder / f"{workload}-{method.name}.csv" for method in methods}
    for repeat, method in itertools.product(range(repeats), methods):
        done = read(paths[method])
        if len(done) == repeat:
            plan = plan_of(trained, method, repeat, quick=quick)
            done.append(summarize(method, repeat, tune(plan, programs=programs)))
            write(paths[method], done)
            note(f"{method.name}, repeat {repeat}: {done[-1].best[-1]:.4f}", flush=True)
    for path in paths.values():
        if any(np.isnan(run.fresh) for run in read(path)):
            write(
                path, on_fresh_seeds(read(path), Trainer(plan_of(trained, RANDOM, FRESH), programs=programs))
            )
    return [run for path in paths.values() for run in read(path)[:repeats]]


def plan_of(study: Study, method: Method, repeat: int, *, quick: bool = False) -> TuningPlan:
    """Repeats differ in the draws of the search, the initial parameters and the order of examples."""
    return TuningPlan(
        study=study,
        space=SPACE,
        search=method.search,
        options=dict(method.options),
        trials=min(16, method.trials) if quick else method.trials,
        confirm=0,
        seed=repeat,
    )


def on_fresh_seeds(runs: list[Run], trainer: Trainer) -> list[Run]:
    """The winners of all repeats side by side, on seeds that they share."""
    settings = [tuple(run.winner.tolist()) for run in runs]
    segments = [Segment(setting, repeat=seed) for seed in range(FRESH_SEEDS) for setting in settings]
    losses = trainer.train(to_proposal(SPACE, segments)).reshape(FRESH_SEEDS, len(runs)).mean(axis=0)
    return [run._replace(fresh=float(loss)) for run, loss in zip(runs, losses, strict=True)]


def summarize(method: Method, repeat: int, tuning: Tuning) -> Run:
    budget, costs, best, lowest = tuning.plan.study.max_steps, [], [], np.inf
    for told in tuning.rounds:
        full = told.proposal.start + steps_of(told.proposal, budget) == budget
        lowest = min(lowest, np.min(told.losses, where=full, initial=np.inf))
        costs.append(told.cost / budget)
        best.append(lowest)
    winner = np.array(list(tuning.finalists[0].setting.values()))
    return Run(method.name, repeat, np.array(costs), np.array(best), winner, np.nan)


def read(path: Path) -> list[Run]:
    """Runs of one table, which may be missing."""
    if not path.exists():
        return []
    numbers = lambda text: np.array([float(value) for value in text.split()])
    with path.open(newline="") as file:
        return [
            Run(method, int(repeat), *map(numbers, series), float(fresh))
            for method, repeat, *series, fresh in list(csv.reader(file))[1:]
        ]


def write(path: Path, runs: list[Run]) -> None:
    """One line for each run; the numbers of its rounds stand in one field, apart by blanks."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for run in runs:
        series = (" ".join(f"{x:.7g}" for x in values) for values in (run.cost, run.best, run.winner))
        lines.writerow([run.method, run.repeat, *series, f"{run.fresh:.6g}"])
    write_atomically(path, text.getvalue().encode())


class Ratio(NamedTuple):
    """A geometric mean over paired repeats with its 90 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ratio(one: list[Run], other: list[Run], of: Callable[[Run], float] = lambda run: run.fresh) -> Ratio:
    """How many times the loss of `one` exceeds that of `other`, repeat by repeat on equal seeds."""
    logs = np.log([of(a) / of(b) for a, b in zip(one, other, strict=True)])
    chosen = np.random.default_rng(0).integers(len(logs), size=(4000, len(logs)))
    low, high = np.exp(np.quantile(logs[chosen].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return Ratio(float(np.exp(logs.mean())), float(low), float(high))


def of_method(runs: list[Run], method: Method) -> list[Run]:
    return [run for run in runs if run.method == method.name]


def best_at(run: Run, cost: Float[np.ndarray, " costs"]) -> Float[np.ndarray, " costs"]:
    """The best loss at each cost, infinite before the first round was paid for."""
    return np.concatenate([[np.inf], run.best])[np.searchsorted(run.cost, cost, side="right")]
