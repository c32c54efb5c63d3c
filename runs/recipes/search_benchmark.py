"""Search strategies in batches of 16 against each other: regret on Branin and Hartmann 6."""

from __future__ import annotations

import csv
import importlib.util
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hparam import SEARCHES, Search
from lr_batch import LEVEL
from runs.plots import style
from runs.recipes.analytic_problems import BRANIN, HARTMANN6, Problem
from runs.write import write_atomically

PROBLEMS = (BRANIN, HARTMANN6)
NUM_BATCHES = {"Branin": 5, "Hartmann 6": 8}
FLOOR = 1e-6  # regrets below it count as it: the optimum is found
COLUMNS = ("problem", "method", "repeat", "batch_size", "seconds", "regret")


class Method(NamedTuple):
    """A strategy of `hparam.SEARCHES` with its options; `needs` names one more package that it wants."""

    name: str
    strategy: str
    options: dict[str, str]
    color: str
    needs: str = ""


METHODS = (
    Method("bayes", "bayes", {}, style.VERMILION),
    Method("quasi-random", "quasi_random", {}, style.GREEN),
    Method("random", "random", {}, style.MUTED),
    Method("optuna tpe", "optuna", {"sampler": "tpe"}, style.SKY),
    Method("optuna gp", "optuna", {"sampler": "gp"}, style.BLUE, needs="torch"),
)


class Run(NamedTuple):
    """One search: regret of its best loss after each batch, and the seconds that it took to choose."""

    problem: str
    method: str
    repeat: int
    batch_size: int
    seconds: float
    regret: Float[np.ndarray, " batches"]


class Interval(NamedTuple):
    """A mean over repeats with its 90 % bootstrap interval."""

    mean: float
    low: float
    high: float


def main(
    out: str = "lr-batch-results/search", methods: Sequence[str] = (), repeats: int = 20, quick: bool = False
) -> dict[tuple[str, str], Interval]:
    """Runs every method that is installed with paired seeds, and draws regret against evaluations.

    Command: `python -m runs.recipes.search_benchmark [FOLDER [METHOD ...]]`. Each method has a table in the
    folder; runs that are in it are not repeated, so that several processes can share the methods. On one core
    our Bayesian search takes 7 minutes, Optuna's GP sampler 6 to 15 on Branin and 95 on Hartmann 6, the others
    less than 10 minutes each.

    Found (`runs/results/search`; mean log10 regret after the last batch, 20 repeats, 90 % intervals):
    Branin: bayes -4.10 (-4.37 to -3.83), Optuna's GP -1.83 (-2.04 to -1.63), its TPE -0.60, quasi-random -0.42,
    random -0.48. Hartmann 6: bayes -1.91 (-2.44 to -1.43), TPE -0.60 (-0.80 to -0.40), Optuna's GP -0.39
    (-0.51 to -0.29), quasi-random 0.03, random 0.01.
    """
    chosen = [m for m in METHODS if _installed(m) and (not methods or m.name in methods)]
    chosen = [m for m in chosen if not (quick and m.strategy == "optuna")]
    Path(out).mkdir(parents=True, exist_ok=True)
    for repeat in range(2 if quick else repeats):
        for method in chosen:
            _add_repeat(Path(out), method, repeat, quick=quick)
    runs = [run for method in METHODS for run in read(_table(Path(out), method))]
    results = {key: final_regret(some) for key, some in _grouped(runs).items()}
    style.save(draw(runs), Path(out) / "search_benchmark.png")
    for (problem, method), interval in results.items():
        print(
            f"{problem:10s} {method:12s} mean log10 regret {interval.mean:6.2f} "
            f"[{interval.low:.2f}, {interval.high:.2f}]"
        )
    return results


def run(problem: Problem, method: Method, repeat: int, batch_size: int, num_batches: int) -> Run:
    """One search; its key is the number of the repeat."""
    search: Search = SEARCHES[method.strategy](problem.space, **method.options)
    key, state, best, regret, seconds = jax.random.key(repeat), search.init(), np.inf, [], 0.0
    for _ in range(num_batches):
        start = time.perf_counter()
        proposal, state = search.ask(key, state, batch_size)
        seconds += time.perf_counter() - start
        losses = problem.loss(proposal.settings)
        state = search.tell(state, proposal, losses)
        best = min(best, float(losses.min()))
        regret.append(best - problem.minimum)
    return Run(problem.name, method.name, repeat, batch_size, seconds, np.array(regret))


def read(path: Path) -> list[Run]:
    """Runs of one table, which may be missing."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Run(
                r["problem"],
                r["method"],
                int(r["repeat"]),
                int(r["batch_size"]),
                float(r["seconds"]),
                np.array([float(value) for value in r["regret"].split()]),
            )
            for r in csv.DictReader(file)
        ]


def write(path: Path, runs: list[Run]) -> None:
    """One line per run; the regrets after each batch stand in one field, apart by blanks."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for r in runs:
        lines.writerow([*r[:4], f"{r.seconds:.3f}", " ".join(f"{value:.6g}" for value in r.regret)])
    write_atomically(path, text.getvalue().encode())


def log_regret(runs: list[Run]) -> Float[np.ndarray, "runs batches"]:
    """log10 of the regret, floored."""
    return np.log10(np.maximum([r.regret for r in runs], FLOOR))


def final_regret(runs: list[Run]) -> Interval:
    """Mean log10 regret after the last batch."""
    low, high = interval(log_regret(runs)[:, -1:])
    return Interval(float(log_regret(runs)[:, -1].mean()), float(low[0]), float(high[0]))


def interval(
    values: Float[np.ndarray, "runs columns"], level: float = LEVEL, resamples: int = 2000
) -> np.ndarray:
    """Percentile bootstrap of the mean over runs, column by column: (low, high)."""
    chosen = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    means = values[chosen].mean(axis=1)
    return np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)


def draw(runs: list[Run]) -> Figure:
    """One panel per problem: geometric mean regret with its interval against evaluations."""
    figure = style.new_figure(8.6, 4.6)
    repeats = min(len(some) for some in _grouped(runs).values())
    subtitle = f"best loss so far less the minimum: geometric mean, {100 * LEVEL:g} % interval, {repeats} or more repeats"
    style.headline(figure, "Searching in batches", subtitle, left=0.095)
    handles = {}  # by name: not every method need have run on every problem
    for i, problem in enumerate(PROBLEMS):
        axes = style.add_axes(figure, 0.095 + 0.485 * i, 0.235, 0.39, 0.575)
        _panel(axes, problem.name, runs)
        handles |= {handle.get_label(): handle for handle in axes.get_legend_handles_labels()[0]}
    style.legend_of_panels(figure, list(handles.values()), 5, middle=0.53, fontsize=9)
    return figure


def _panel(axes: Axes, problem: str, runs: list[Run]) -> None:
    groups = _grouped(runs)
    for method in METHODS:
        some = groups.get((problem, method.name))
        if some is None:
            continue
        values = log_regret(some)
        evaluations = some[0].batch_size * np.arange(1, values.shape[1] + 1)
        axes.fill_between(evaluations, *10 ** interval(values), color=method.color, alpha=0.18, linewidth=0)
        axes.plot(
            evaluations,
            10 ** values.mean(axis=0),
            color=method.color,
            marker="o",
            markersize=3.5,
            linewidth=1.6,
            label=method.name,
        )
    axes.set_title(problem, fontsize=10, loc="left", pad=4)
    axes.set_xlabel("evaluations", fontsize=10, color=style.INK)
    style.log_axis(axes.yaxis, "regret", *_limits([r for r in runs if r.problem == problem]))


def _limits(runs: list[Run]) -> tuple[float, float]:
    values = np.concatenate([np.maximum(r.regret, FLOOR) for r in runs])
    return float(values.min()) / 2, float(values.max()) * 2


def _add_repeat(out: Path, method: Method, repeat: int, *, quick: bool) -> None:
    """Runs what is missing of one repeat and writes it down."""
    known = read(_table(out, method))
    done = {(r.problem, r.repeat) for r in known}
    for problem in PROBLEMS:
        if (problem.name, repeat) not in done:
            size = (6, 3) if quick else (16, NUM_BATCHES[problem.name])
            known.append(run(problem, method, repeat, *size))
            write(_table(out, method), known)


def _grouped(runs: list[Run]) -> dict[tuple[str, str], list[Run]]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for r in runs:
        groups.setdefault((r.problem, r.method), []).append(r)
    return groups


def _table(out: Path, method: Method) -> Path:
    return out / f"{method.name.replace(' ', '-')}.csv"


def _installed(method: Method) -> bool:
    needed = (SEARCHES[method.strategy].requires, method.needs)
    return all(importlib.util.find_spec(package) for package in needed if package)


if __name__ == "__main__":
    main(*sys.argv[1:2], methods=sys.argv[2:])
