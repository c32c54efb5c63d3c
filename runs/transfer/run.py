"""Loss against learning rate for several widths, under the standard parameterization and under muP."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import hparam
from hparam.mup.coordinate_check import layers_of
from lr_batch import (
    DIVERGED,
    Goal,
    Result,
    Schedule,
    Study,
)
from lr_batch.engine import fingerprint
from runs.curve.run import description as described
from runs.curve.run import run_in_folder
from runs.folder import part
from runs.transfer.family import PARAMETERIZATIONS, Family

UNREACHABLE = Goal("loss", 0.0)  # so that every trial is trained for its whole budget
LEAST = float(np.finfo(np.float32).eps)  # smaller losses are rounding; one of 0 has no logarithm
KIND = "transfer, one width"  # of the folder of one study


@dataclasses.dataclass(frozen=True)
class TransferPlan:
    """What is trained: `widths` ascending, `rates` ascending, `steps` optimizer steps of each trial.

    `schedule` is a name of `lr_batch.SCHEDULES`, over these steps.
    """

    widths: tuple[int, ...]
    rates: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    steps: int
    seeds: int
    schedule: str

    @property
    def space(self) -> dict[str, tuple[float | str, ...]]:
        length = {"decay_steps": ("100%",)} if "decay_steps" in Schedule(self.schedule).parameters else {}
        return {"learning_rate": self.rates, **length}

    def __post_init__(self):
        if len(set(self.widths)) < 2 or list(self.widths) != sorted(set(self.widths)) or self.widths[0] < 1:
            raise ValueError(f"transfer: widths must be at least two, ascending, got {self.widths}")
        if len(self.rates) < 3:
            raise ValueError(f"transfer: needs at least three learning rates, got {len(self.rates)}")
        if self.seeds < 2:
            raise ValueError(f"transfer: an interval needs at least two seeds, got {self.seeds}")


def studies_of(family: Family, plan: TransferPlan) -> dict[tuple[str, int], Study]:
    """That of every parameterization and width: all are derived before any is trained."""
    return {
        (name, width): study_of(family, plan, name, width)
        for name in PARAMETERIZATIONS
        for width in plan.widths
    }


def study_of(family: Family, plan: TransferPlan, parameterization: str, width: int) -> Study:
    """Every trial of one width, for `plan.steps` steps."""
    workload, optimizer = family.member(parameterization, width)
    return Study(
        workload=workload,
        optimizer=optimizer,
        schedule=plan.schedule,
        batch_sizes=plan.batch_sizes,
        space=plan.space,
        seeds=plan.seeds,
        goal=UNREACHABLE,
        budget=plan.steps,
        slack=math.inf,
        extend=False,
    )


def description(
    family: Family, plan: TransferPlan, studies: Mapping[tuple[str, int], Study]
) -> dict[str, Any]:
    """The comparison as it is written into its store and hashed for its folder."""
    return {
        "workload": family.make.__name__,
        "options": dict(family.options),
        "measured": family.measured,
        "zero_readout": family.zero_readout,
        **dataclasses.asdict(plan),
        "studies": {
            f"{name}-{width}": fingerprint(described(study)) for (name, width), study in studies.items()
        },
    }


def train_all(studies: Mapping[tuple[str, int], Study], folder: Path) -> dict[str, list[Result]]:
    """The results of each parameterization, by width."""
    results: dict[str, list[Result]] = {name: [] for name in PARAMETERIZATIONS}
    for (name, width), study in studies.items():
        results[name].append(run_in_folder(study, part(folder, f"{name}-{width}"), kind=KIND)[1])
    return results


def losses_after(
    steps: int, result: Result, plan: TransferPlan
) -> Float[np.ndarray, "batch_sizes seeds rates"]:
    """The last evaluation within so many steps of every trial, at least `LEAST`; infinite where it had diverged."""
    diverged = (result.status == DIVERGED) & (result.steps <= steps)
    values = [curve.values[curve.steps <= steps][-1] for curve in result.curves]
    loss = np.where(diverged, np.inf, np.maximum(values, LEAST))
    return loss.reshape(len(plan.batch_sizes), plan.seeds, len(plan.rates))


def horizons(plan: TransferPlan) -> tuple[int, ...]:
    """An eighth, a quarter, half and all of the steps: each a whole training, where rates are constant."""
    if plan.schedule != "constant":
        return (plan.steps,)
    return tuple(sorted({max(plan.steps // part, 1) for part in (8, 4, 2, 1)}))


def check_coordinates(
    family: Family, widths: tuple[int, ...], rate: float
) -> dict[str, hparam.CoordinateCheck]:
    """The coordinate check of both parameterizations at one learning rate; {} where no layers can be watched."""
    checks = {}
    for name in PARAMETERIZATIONS:
        members = {width: family.member(name, width) for width in widths}
        if not all(layers_of(workload) for workload, _ in members.values()):
            return {}
        checks[name] = hparam.coordinate_check(members, {"learning_rate": rate})
    return checks
