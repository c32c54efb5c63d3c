"""A learning rate schedule as an axis of a study: its parameters are hyperparameters, traced like any other.

The optimizer's factory receives, at every step, the rate of that step as `hparams["learning_rate"]`; the learning
rate of the space is the peak. Lengths reach a lane in steps (`in_steps`), so that one program serves every unit,
batch size and budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jax.typing import ArrayLike

import optim
from lr_batch.problem.lengths import EXAMPLES, STEPS, Length, parse_length
from lr_batch.problem.regularized import RegularizedOptimizer
from lr_batch.schedules import SCHEDULES
from lr_batch.schedules.bounds import FRACTION
from lr_batch.schedules.cosine_restarts import MAX_CYCLES
from optim.arguments import type_of
from optim.names import Registry
from optim.range import NON_NEGATIVE, POSITIVE, Range

CONSTANT = "constant"
END = "decay_steps"  # the step at which a schedule ends, warm-up included
BOUNDARIES = "boundaries"  # an argument that takes several parameters


class Parameter(NamedTuple):
    """`argument` of the factory that a hyperparameter sets; a factor is multiplied by the peak rate."""

    argument: str
    valid: Range
    is_factor: bool = False
    is_length: bool = False


WARMUP = {
    "warmup": Parameter("warmup_steps", NON_NEGATIVE, is_length=True),
    "init_factor": Parameter("init_value", NON_NEGATIVE, is_factor=True),
}
LENGTH = {END: Parameter("num_steps", POSITIVE, is_length=True), **WARMUP}
FALLING = {"end_factor": Parameter("end_value", NON_NEGATIVE, is_factor=True), **LENGTH}
POWER = {"power": Parameter("power", POSITIVE)}
CYCLES = {"num_cycles": Parameter("num_cycles", Range(low=1, high=MAX_CYCLES))}
PARAMETERS: Mapping[str, Mapping[str, Parameter]] = Registry(
    "schedule",
    {
        CONSTANT: WARMUP,
        "step": {
            **{f"boundary_{i}": Parameter(BOUNDARIES, FRACTION) for i in range(1, 5)},
            "factor": Parameter("factor", NON_NEGATIVE),
            **LENGTH,
        },
        "linear": FALLING,
        "exponential": {**FALLING, "end_factor": Parameter("end_value", POSITIVE, is_factor=True)},
        "polynomial": FALLING | POWER,
        "cosine": FALLING,
        "cosine_restarts": FALLING | CYCLES | {"cycle_mult": Parameter("cycle_mult", POSITIVE)},
        "cyclic": FALLING | CYCLES | {"shrink": Parameter("shrink", FRACTION)},
        "one_cycle": FALLING,
        "inverse_sqrt": LENGTH | {"timescale": Parameter("timescale", POSITIVE, is_length=True)},
        "warmup_stable_decay": FALLING | POWER | {"decay_fraction": Parameter("decay_fraction", FRACTION)},
    },
)
NEEDED = {CONSTANT: ("warmup",), "inverse_sqrt": ("timescale", "warmup")}  # one of these; elsewhere `END`


class Schedule(NamedTuple):
    """A name of `lr_batch.SCHEDULES`, and the unit of each of its lengths: "steps", "examples" or "budget".

    >>> str(Schedule("linear", {"decay_steps": "budget"}).length("decay_steps", 0.5))
    '50% of the budget'
    """

    name: str
    units: Mapping[str, str] = {}

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        return PARAMETERS[self.name]

    @property
    def lengths(self) -> tuple[str, ...]:
        return tuple(name for name, parameter in self.parameters.items() if parameter.is_length)

    @property
    def ranges(self) -> dict[str, Range]:
        """Valid values of the parameters."""
        return {name: parameter.valid for name, parameter in self.parameters.items()}

    @property
    def described(self) -> dict[str, Any]:
        """The form that is hashed and stored, JSON-like."""
        return {"name": self.name, "units": dict(self.units)}

    def length(self, name: str, value: float) -> Length | None:
        """The value of a hyperparameter with its unit, where it is a length."""
        return Length(value, self.units.get(name, STEPS)) if name in self.lengths else None

    def in_steps(
        self,
        setting: Mapping[str, float],
        batch_size: int,
        budget: int,
        steps_of_examples: Callable[[float], float] | None = None,
    ) -> dict[str, float]:
        """The setting with its lengths in steps; `steps_of_examples` where batches grow. A warm-up is rounded down and
        what it is part of up, so that the one stays shorter than the other at every batch size."""
        steps = dict(setting)
        for name in set(self.lengths) & set(setting):
            length = Length(setting[name], self.units.get(name, STEPS))
            if steps_of_examples and length.unit == EXAMPLES:
                exact = steps_of_examples(length.value)
            else:
                exact = length.in_steps(batch_size, budget)
            rounded = math.floor if name == "warmup" else math.ceil
            steps[name] = float(rounded(round(exact, 6)))  # 0.1 * 30 is three
        return steps

    def rate(self, hparams: Mapping[str, Any], step: Any) -> ArrayLike:
        """Learning rate of a step; `hparams` with lengths in steps, each of them traced or not."""
        peak = hparams["learning_rate"]
        arguments: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            if name not in hparams:
                continue
            value = hparams[name] * peak if parameter.is_factor else hparams[name]
            several = parameter.argument == BOUNDARIES
            arguments[parameter.argument] = (*arguments.get(BOUNDARIES, ()), value) if several else value
        return SCHEDULES[self.name](peak, **arguments)(step)


class ScheduledOptimizer(NamedTuple):
    """An optimizer, with a regularizer around it or not, whose learning rate follows a schedule."""

    optimizer: optim.Optimizer | RegularizedOptimizer
    schedule: Schedule

    def at(self, hparams: Mapping[str, Any], step: Any) -> dict[str, Any]:
        """What the optimizer's factory receives at a step."""
        own = self.schedule.parameters
        rest = {name: value for name, value in hparams.items() if name not in own}
        return rest | {"learning_rate": self.schedule.rate(hparams, step)}


def read_schedule(
    given: Schedule | str | None, space: Mapping[str, Any], num_examples: int
) -> tuple[Schedule | None, Mapping[str, Any]]:
    """The schedule with the units of its lengths, and the space with these lengths as numbers; None where rates stay.

    Raises:
      ValueError: in one line: an unknown name, what is not a length, or two units for one of them.
    """
    if not isinstance(given, Schedule | str | None):
        raise ValueError(f"study: schedule must be a name or a lr_batch.Schedule, got {type_of(given)}")
    schedule = Schedule(given) if isinstance(given, str) else given or Schedule(CONSTANT)
    parameters = schedule.parameters  # refuses an unknown name with the nearest
    if schedule.name == CONSTANT and not set(parameters) & set(space):
        return None, space
    units, read = dict(schedule.units), dict(space)
    for name in schedule.lengths:
        if name not in space or not isinstance(space[name], Sequence) or isinstance(space[name], str):
            continue  # what is no list is refused with the rest of the space
        read[name], units[name] = _in_one_unit(schedule, name, space[name], num_examples)
    return Schedule(schedule.name, units), read


def _in_one_unit(
    schedule: Schedule, name: str, values: Sequence[Any], num_examples: int
) -> tuple[list[float], str]:
    known = schedule.units.get(name)
    texts = [isinstance(value, str) for value in values]
    if known and not any(texts):
        return [float(value) for value in values], known
    lengths = [parse_length(f"{schedule.name}: {name}", value, num_examples) for value in values]
    units = {length.unit for length in lengths if length.value} or {known or STEPS}  # 0 is 0 in every unit
    if len(units) > 1:
        raise ValueError(
            f"{schedule.name}: the values of {name} must have one unit, got {' and '.join(sorted(units))}: "
            f"{', '.join(map(str, values))}"
        )
    return [length.value for length in lengths], units.pop()


def check_schedule(
    schedule: Schedule, space: Mapping[str, Sequence[float]], budgets: Mapping[int, int]
) -> None:
    """Raises ValueError, in one line, where a length is missing, no whole number, or shorter than its part; `budgets` are
    the steps at each batch size."""
    needed = NEEDED.get(schedule.name, (END,))
    if not set(needed) & set(space):
        raise ValueError(
            f"{schedule.name}: needs {' or '.join(needed)} in the space, such as {needed[0]}=50% of the budget, "
            f"{needed[0]}=20_000examples or a number of steps"
        )
    for name in {*schedule.lengths, "num_cycles"} & set(space):
        whole = name == "num_cycles" or schedule.units.get(name, STEPS) == STEPS
        if whole and (part := [value for value in space[name] if not float(value).is_integer()]):
            raise ValueError(f"{schedule.name}: {name} must be whole numbers, got {part[0]!r}")
    if END not in space or "warmup" not in space:
        return
    share = 2 if schedule.name == "one_cycle" else 1  # it rises and falls for the same number of steps
    for batch_size, budget in budgets.items():
        longest = {"warmup": max(space["warmup"]), END: min(space[END])}
        steps = schedule.in_steps(longest, batch_size, budget)
        if share * steps["warmup"] > steps[END] - (share == 1):
            raise ValueError(
                f"{schedule.name}: warmup must be {'at most half of' if share == 2 else 'less than'} {END}, which is the "
                f"length of warm-up and decay together; at batch size {batch_size} they are {steps['warmup']:,.0f} "
                f"and {steps[END]:,.0f} steps"
            )
