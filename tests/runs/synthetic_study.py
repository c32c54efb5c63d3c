"""A study with a known answer, as the engine would hand it over, made without training."""

from __future__ import annotations

import functools

import numpy as np

from lr_batch import BUDGET, DIVERGED, REACHED, Curve, EngineReport, Goal, Result
from runs.curve.analysis import Analysis, analyse

GOAL = Goal("loss", 0.2)
BATCH_SIZES = tuple(2**i for i in range(11))
RATES = np.geomspace(1e-3, 4.0, 16)


def synthetic_result(
    batch_sizes=BATCH_SIZES,
    rates=RATES,
    seeds: int = 4,
    *,
    s_min: float = 60.0,
    b_crit: float = 90.0,
    max_rate: float = 0.6,
    budget: int = 10_000,
    workload: str = "digits_mlp",
    optimizer: str = "sgd",
    unreachable=(),
    diverging: bool = False,
) -> Result:
    """S(B) = s_min (1 + b_crit/B) at the best rate max_rate / (1 + b_crit/B), raced with slack 2.

    Away from the best rate steps grow as (x + 1/x)/2, x = rate/best, and trials
    diverge beyond x of about 2.5. `unreachable` batch sizes run out of budget;
    with `diverging` every trial diverges.
    """
    rng = np.random.default_rng(0)
    rows = []
    for batch in batch_sizes:
        x = rates / (max_rate / (1 + b_crit / batch))
        for seed in range(seeds):
            noise = np.exp(0.08 * rng.standard_normal() + 0.03 * rng.standard_normal(len(rates)))
            steps = s_min * (1 + b_crit / batch) * (x + 1 / x) / 2 * noise
            diverged = (x > 2.5 * noise) | diverging
            reached = ~diverged & (steps < budget) & (batch not in unreachable)
            last = min(budget, 2 * steps[reached].min()) if reached.any() else budget
            for i, rate in enumerate(rates):
                rows.append(_trial(batch, seed, rate, steps[i], diverged[i], reached[i], last, rng))
    columns = list(zip(*rows, strict=True))
    return Result(
        workload=workload,
        optimizer=optimizer,
        goal=GOAL,
        budget=budget,
        batch_size=np.array(columns[0]),
        seed=np.array(columns[1]),
        hparams={"learning_rate": np.array(columns[2])},
        steps_to_goal=np.array(columns[3]),
        steps=np.array(columns[4]),
        status=np.array(columns[5]),
        curves=columns[6],
        engine=EngineReport(31.4, 6.2, 4, 93_000_000, "2 x cpu", 16, 22.4),
    )


def _trial(batch, seed, rate, steps, diverged, reached, last, rng):
    if diverged:
        end = int(rng.integers(2, 9))
        evaluations = np.arange(1, end + 1)
        values = np.append(2.3 * 1.6 ** evaluations[:-1], np.nan)
        return batch, seed, rate, np.nan, end, DIVERGED, Curve(evaluations, values)
    hit = reached and steps <= last
    evaluations = np.unique(np.append(0, np.geomspace(1, max(last, 2), 60)).astype(int))
    # 2.3 at the start, the goal's 0.2 after `steps` steps.
    values = 0.12 + 2.18 * np.exp(-np.log(2.18 / 0.08) * (evaluations / steps) ** 0.7)
    values *= np.exp(0.02 * rng.standard_normal(len(evaluations)))
    status = REACHED if hit else BUDGET
    return batch, seed, rate, steps if hit else np.nan, int(last), status, Curve(evaluations, values)


@functools.cache
def analysed_study() -> tuple[Result, Analysis]:
    """The study above, and what is read off it: its fits and intervals take seconds."""
    result = synthetic_result()
    return result, analyse(result)
