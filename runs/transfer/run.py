"""Loss against learning rate for several widths, under the standard parameterization and under muP."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

import hparam
import optim
from hparam.mup.fan_growth import FansRule, default_fans
from lr_batch import (
    DIVERGED,
    LEVEL,
    Estimate,
    Goal,
    Result,
    Schedule,
    Study,
    Workload,
    as_optimizer,
    as_workload,
    estimate,
    num_examples,
)
from lr_batch.engine import fingerprint
from runs.curve.run import description as described
from runs.curve.run import run_in_folder
from runs.folder import part

STANDARD, MUP = "standard", "muP"
PARAMETERIZATIONS = (STANDARD, MUP)
MEASURED_ROWS = 512  # training examples on which the final loss is measured
UNREACHABLE = Goal("loss", 0.0)  # so that every trial is trained for its whole budget
KIND = "transfer, one width"  # of the folder of one study


class Family(NamedTuple):
    """One network at any width.

    Attributes:
      make: `width -> Workload`. If it takes `base_width` too, that is what muP changes in the network itself.
      optimizer: what `lr_batch.as_optimizer` takes; muP needs to know its `step_kind`.
      base_width: where the two parameterizations are the same.
      options: further arguments of `make`, such as `layers`.
      zero_readout: output weights of muP start at zero, at the base width too.
      measured: "training" or "held-out": whose loss.
      fans: which axes of a parameter are its input and its output, see `hparam.mup`.
    """

    make: Callable[..., Workload]
    optimizer: optim.Optimizer | str
    base_width: int
    options: Mapping[str, int] = {}
    zero_readout: bool = True
    measured: str = "training"
    fans: FansRule = default_fans

    def member(self, parameterization: str, width: int) -> tuple[Workload, optim.Optimizer]:
        """Workload and optimizer of one width."""
        if parameterization == STANDARD:
            workload, optimizer = self._network(width), as_optimizer(self.optimizer)
        else:
            scaled = hparam.mup(self._under_mup(self.base_width), self._under_mup(width), fans=self.fans)
            workload, optimizer = scaled.workload(), scaled.optimizer(self.optimizer)
        return workload._replace(name=f"{workload.name}, width {width}, {parameterization}"), optimizer

    def _under_mup(self, width: int) -> Workload:
        """What muP changes in the network itself."""
        takes_base = "base_width" in inspect.signature(self.make).parameters
        own = {"base_width": self.base_width} if takes_base else {}
        network = self._network(width, **own)
        if not self.zero_readout:
            return network
        return hparam.zero_readout(network, self._network(2 * width, **own), self.fans)

    def _network(self, width: int, **own: int) -> Workload:
        workload = as_workload(self.make, width=width, **self.options, **own)
        if self.measured == "training":
            return workload._replace(eval_data=evenly_spaced(workload.train_data, MEASURED_ROWS))
        return workload


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


class BestRate(NamedTuple):
    """The best learning rate of one width.

    Attributes:
      rate: geometric mean over seeds, with its interval.
      octaves: log2 of it relative to the first width, seed by seed.
      loss: geometric mean over seeds of the smallest loss.
      kept: loss at the first width's best rate over the lowest of the grid, of means over seeds; 1 at best.
      edge: whether it is the first or last rate of the grid.
    """

    width: int
    rate: Estimate
    octaves: Estimate
    loss: float
    kept: float
    edge: bool


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
    """The last evaluation within so many steps of every trial; infinite where it had diverged by then."""
    diverged = (result.status == DIVERGED) & (result.steps <= steps)
    values = [curve.values[curve.steps <= steps][-1] for curve in result.curves]
    loss = np.where(diverged, np.inf, values)
    return loss.reshape(len(plan.batch_sizes), plan.seeds, len(plan.rates))


def horizons(plan: TransferPlan) -> tuple[int, ...]:
    """An eighth, a quarter, half and all of the steps: each a whole training, where rates are constant."""
    if plan.schedule != "constant":
        return (plan.steps,)
    return tuple(sorted({max(plan.steps // part, 1) for part in (8, 4, 2, 1)}))


def best_rates(
    widths: tuple[int, ...], rates: tuple[float, ...], loss: Float[np.ndarray, "widths seeds rates"]
) -> tuple[BestRate, ...]:
    """Best rate of every width. Seeds share their examples over widths, so shifts are taken seed by seed."""
    found = np.array([[minimum(np.log2(rates), np.log(seed)) for seed in width] for width in loss])
    where, lowest = found[..., 0], found[..., 1]
    edges = np.median(np.argmin(loss, axis=-1), axis=-1)
    means = np.log(loss).mean(axis=1)
    kept = [np.exp(np.interp(where[0].mean(), np.log2(rates), mean) - mean.min()) for mean in means]
    return tuple(
        BestRate(
            width,
            Estimate(*np.exp2(student_interval(where[i])).tolist()),
            Estimate(*student_interval(where[i] - where[0])),
            float(np.exp(lowest[i].mean())),
            float(kept[i]),
            bool(edges[i] in (0, len(rates) - 1)),
        )
        for i, width in enumerate(widths)
    )


def minimum(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Place and value of the minimum of y, by a parabola through the lowest point and two to either side.

    Weights e^(lowest - y) keep the cliff beyond which training diverges (y infinite) from bending the
    parabola. The lowest point itself where that is the first or last one or the points do not turn.
    """
    i = int(np.argmin(y))
    near = np.arange(max(i - 2, 0), min(i + 3, len(x)))
    near = near[np.isfinite(y[near])]
    if i in (0, len(x) - 1) or len(near) < 3:
        return float(x[i]), float(y[i])
    a, b, c = np.polyfit(x[near] - x[i], y[near], 2, w=np.exp(y[i] - y[near]))
    turn = -b / (2 * a) if a > 0 else np.inf
    if not x[near[0]] <= x[i] + turn <= x[near[-1]]:
        return float(x[i]), float(y[i])
    return float(x[i] + turn), float(c + b * turn / 2)


def student_interval(values: Float[np.ndarray, " seeds"], level: float = LEVEL) -> tuple[float, float, float]:
    """Mean over seeds with Student's interval."""
    return tuple(estimate(values, level))


def wider_is_worse(loss: Float[np.ndarray, "widths seeds rates"], margin: float = 0.01) -> tuple[int, int]:
    """At how many rates a network loses to the next narrower one, and of how many compared.

    It loses where the interval of its excess in log loss, over seeds, lies above `margin`; rates at
    which some seed of the narrower network diverged are not compared.
    """
    worse = compared = 0
    for narrow, wide in zip(loss, loss[1:], strict=False):
        for column in np.flatnonzero(np.isfinite(narrow).all(axis=0)):
            compared += 1
            excess = np.log(wide[:, column] / narrow[:, column])
            worse += not np.isfinite(excess).all() or student_interval(excess)[1] > margin
    return int(worse), compared


def check_coordinates(
    family: Family, widths: tuple[int, ...], rate: float
) -> dict[str, hparam.CoordinateCheck]:
    """The coordinate check of both parameterizations at one learning rate."""
    checks = {}
    for name in PARAMETERIZATIONS:
        members = {width: family.member(name, width) for width in widths}
        checks[name] = hparam.coordinate_check(members, {"learning_rate": rate})
    return checks


def evenly_spaced(data: Any, rows: int) -> Any:
    """At most `rows` of the examples."""
    total = num_examples(data)
    index = np.linspace(0, total - 1, min(rows, total)).astype(int)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], data)
