"""`lr-batch compare --by`: optimizers in rank, with what makes the comparison fair or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

import lr_batch
from lr_batch import Estimate, Ranked, Result
from optim.names import listed
from runs.curve.analysis import Analysis
from runs.curve.table import short
from runs.plan.outcome import span
from runs.store import Store

By = Literal["steps", "examples", "seconds", "memory"]
Outcomes = Sequence[tuple[Result, Analysis]]


class Ranking(NamedTuple):
    """`rows` from best to worst; `lines` say how equal the conditions were."""

    by: By
    rows: tuple[Ranked, ...]
    lines: tuple[str, ...]


def rank(outcomes: Outcomes, by: By, folders: Sequence[Path]) -> Ranking:
    """Optimizers by the least they need at any batch size; `folders` are those of their stores, in the same order.

    Raises:
      ValueError: what is asked for is not known of one of them.
    """
    names = [result.optimizer for result, _ in outcomes]
    if by == "memory":
        found = sorted(zip(map(_bytes, (result for result, _ in outcomes)), names, strict=True))
        rows = tuple(Ranked(name, Estimate(size, size, size), None) for size, name in found)
    else:
        costs = {
            name: _costs(one, by, folder) for name, one, folder in zip(names, outcomes, folders, strict=True)
        }
        rows = lr_batch.ranking({result.optimizer: outcome.optima for result, outcome in outcomes}, costs)
    return Ranking(by, rows, tuple(conditions(outcomes)))


def _costs(one: tuple[Result, Analysis], by: By, folder: Path) -> dict[int, float]:
    """Of one step at each batch size; where batches grow, of a step on the way to the goal."""
    result, optima = one[0], one[1].optima
    if by == "seconds":
        return seconds_per_step(folder)
    steps = {row.batch_size: row.steps or 1.0 for row in optima}
    if by == "steps":
        return dict.fromkeys(steps, 1.0)
    return {size: result.examples(size, number) / number for size, number in steps.items()}


def seconds_per_step(folder: Path) -> dict[int, float]:
    """Seconds of one step of one trial at each batch size, evaluations included, as the trials of a folder took them side
    by side on the machine that trained them."""
    with Store(folder, read_only=True) as store:
        chunks, trials = store.chunks(), store.trial_rows()
    seconds, steps = defaultdict(float), defaultdict(float)
    for chunk in chunks:
        seconds[chunk.batch_size] += chunk.seconds
    for trial in trials:
        steps[trial.batch_size] += trial.steps
    return {size: seconds[size] / steps[size] for size in seconds if steps[size]}


def _bytes(result: Result) -> float:
    """Weights, gradient and state of one trial."""
    import jax

    from optim import OPTIMIZERS, state_bytes

    name = result.optimizer.partition(",")[0].partition(" ")[0]
    if name not in OPTIMIZERS or result.workload not in lr_batch.WORKLOADS:
        raise ValueError(
            f"--by memory: needs names of `lr-batch list optimizers` and `lr-batch list workloads`, got {name} and "
            f"{result.workload}"
        )
    params = jax.eval_shape(
        lr_batch.WORKLOADS[result.workload]().init, jax.eval_shape(lambda: jax.random.key(0))
    )
    return float(state_bytes(OPTIMIZERS[name]({}), params).total)


def conditions(outcomes: Outcomes) -> list[str]:
    """Whether budgets and seeds are equal, each space, and whose best setting lies at its edge."""
    settings = {result.optimizer: _settings(result) for result, _ in outcomes}
    seeds = {result.optimizer: tuple(np.unique(result.seed).tolist()) for result, _ in outcomes}
    budgets = {result.optimizer: str(result.budget) for result, _ in outcomes}
    lines = [
        _equal("settings tried at a batch size", settings),
        _equal("most steps of a trial", budgets),
        _equal("seeds", {name: ", ".join(map(str, one)) for name, one in seeds.items()}),
    ]
    spaces = "; ".join(f"{result.optimizer} {_space(result)}" for result, _ in outcomes)
    lines.append(f"spaces: {spaces}")
    for result, outcome in outcomes:
        edges = [row.batch_size for row in outcome.optima if row.edge or row.edges]
        if edges:
            lines.append(
                f"{result.optimizer}: its best setting lies at the edge of its space at {listed('batch size', edges)}, a "
                "better one may lie beyond: widen it before it is called worse"
            )
    return lines


def _settings(result: Result) -> int:
    """The most settings that were tried at one batch size."""
    columns = np.column_stack([result.batch_size, *result.hparams.values()])
    sizes = np.unique(columns, axis=0)[:, 0]
    return int(np.unique(sizes, return_counts=True)[1].max())


def _space(result: Result) -> str:
    return ", ".join(f"{name} {np.min(v):.3g} to {np.max(v):.3g}" for name, v in result.hparams.items())


def _equal(what: str, values: Mapping[str, Any]) -> str:
    if len({str(value) for value in values.values()}) == 1:
        return f"{what}: {next(iter(values.values()))} for all"
    return f"{what} are NOT equal: " + "; ".join(f"{name} {value}" for name, value in values.items())


HEADINGS = {
    "steps": "fewest steps",
    "examples": "fewest examples",
    "seconds": "least time of one trial",
    "memory": "bytes of one trial",
}


def cells(ranking: Ranking) -> list[tuple[str, ...]]:
    """Rows of the table: rank, name, cost, batch size, ratio to the first."""
    return [
        (
            str(number),
            row.name,
            _cost(row.cost, ranking.by),
            "" if row.batch_size is None else f"{row.batch_size:,}",
            _ratio(row),
        )
        for number, row in enumerate(ranking.rows, 1)
    ]


def _cost(cost: Estimate, by: By) -> str:
    if not np.isfinite(cost.best):
        return "never: the goal was not reached"
    if by == "seconds":
        return span(cost)
    if by == "memory":
        return short(cost.best)
    return f"{short(cost.best)} ({short(cost.low)} to {short(cost.high)})"


def _ratio(row: Ranked) -> str:
    if row.ratio is None:
        return ""
    return f"{row.ratio.best:.2f} ({row.ratio.low:.2f} to {row.ratio.high:.2f})" + (
        "" if row.clear else ", not clear"
    )
