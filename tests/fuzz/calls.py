"""Calls of the public API, drawn: every function that a package lists, with arguments of the right kind mostly."""

from __future__ import annotations

import inspect
import random
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import hparam
import lr_batch
import optim
import reg
from tests.fuzz.arguments import PARAMS, pool
from tests.fuzz.made import Later

PACKAGES = (lr_batch, optim, reg, hparam)
# Protocols and errors are not called, and records of results are made by what measures them.
LEFT_OUT = set(
    "ArrayStore ChunkStore StudyError LossFn Programs BestStrength CriticalBatchSize CriticalAtGoal EngineReport Trial "
    "Generalization LearningRateLaw Optimum Proposal Progress Ratio Result StrengthRow Curve Estimate CoordinateCheck "
    "Finalist Mup Search Segment State Strategy Tuning Dimension StateBytes Applied EarlyStopping EarlyStoppingState "
    "RegularizedState Optimizer Range Regularizer RegularizedOptimizer measure_noise_scale coordinate_check Answer Asked "
    "Axis Best BestOfTrials ClusterPlan CriticalExponents HeldOutSize Metric NoisePoint NoiseScale NormScales PlannedRow "
    "QuadraticCurve Ranked Searched Slope TrainingNoise".split()
)
ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**30, float("nan"), float("inf"), -0.0, 1j),
    *("", "x", "nan", "loss<1", b"x", [], {}, (), set(), [None], [[1], [2, 3]], {"a": None}, {"learning_rate": []}),
    *(np.float32(0.3), np.int64(3), np.array([1.0, 2.0]), np.array([], np.float32), jnp.float32(0.1), range(3)),
    *(object(), len, lambda: 1, lambda *a: a, ValueError("x"), np.ma.array([1, 2], mask=[0, 1])),
]  # fmt: skip


class Call(NamedTuple):
    """A function and its arguments by name."""

    name: str
    function: Callable
    arguments: dict[str, Any]

    def __call__(self) -> Any:
        """Calls it, and uses what a factory made."""
        positional, named = [], {}
        for name, parameter in inspect.signature(self.function).parameters.items():
            if name not in self.arguments:
                continue
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional += self.arguments[name]
            elif parameter.kind is parameter.VAR_KEYWORD:
                named |= self.arguments[name]
            elif parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(self.arguments[name])
            else:
                named[name] = self.arguments[name]
        made = used(self.function(*positional, **named))
        return made(jnp.int32(3)) if self.name.startswith("schedules[") else made

    def __str__(self) -> str:
        return (
            f"{self.name}({', '.join(f'{name}={str(value)[:60]}' for name, value in self.arguments.items())})"
        )


@cache
def functions() -> dict[str, Callable]:
    """All that is called, by name."""
    named = {
        f"{package.__name__}.{name}": getattr(package, name)
        for package in PACKAGES
        for name in package.__all__
    }
    called = {
        name: thing
        for name, thing in named.items()
        if callable(thing) and not typing.get_origin(thing) and name.partition(".")[2] not in LEFT_OUT
    }
    registries = {
        "schedules": lr_batch.SCHEDULES,
        "regularizers": reg.REGULARIZERS,
        "optimizers": optim.OPTIMIZERS,
    }
    for kind, registry in registries.items():
        called |= {f"{kind}[{name}]": getattr(row, "make", row) for name, row in registry.items()}
    return called


def call(draw: random.Random, *, trained: bool = True) -> Call:
    """One call; without what takes training to make, where `trained` is False."""
    names = sorted(functions())
    name = draw.choice(
        [*names, *(name for name in names if name.partition(".")[2] in WEIGHTY for _ in range(8))]
    )
    function, pools, chosen = functions()[name], pool(), {}
    owner = name.partition("[")[0].rpartition(".")[2]
    parameters = inspect.signature(function).parameters.values()
    wrong = draw.choice([0, 1, 1, 1, 2])
    odd = {parameter.name for parameter in draw.sample(list(parameters), min(wrong, len(parameters)))}
    for parameter in parameters:
        needed = parameter.default is parameter.empty
        fitting = pools.get(f"{owner}.{parameter.name}") or pools.get(parameter.name)
        if parameter.name in odd:
            several = {
                parameter.VAR_POSITIONAL: lambda: [draw.choice(ODD)],
                parameter.VAR_KEYWORD: lambda: {"x": draw.choice(ODD)},
            }
            chosen[parameter.name] = several.get(parameter.kind, lambda: draw.choice(ODD))()
        elif needed or (fitting and draw.random() < 0.3):
            unnamed = {parameter.VAR_POSITIONAL: [], parameter.VAR_KEYWORD: {}}
            value = draw.choice(fitting or [unnamed.get(parameter.kind, 0.1)])
            chosen[parameter.name] = value
            if isinstance(value, Later):
                chosen[parameter.name] = value.made() if trained else object()
    return Call(name, function, chosen)


WEIGHTY = (
    "Study",
    "from_arrays",
    "Goal",
    "Workload",
    "run",
    "log_grid",
    "Space",
    "parse_space",
    "TuningPlan",
    "study_of",
)


def used(made: Any) -> Any:
    """What a factory made, used once: an optimizer steps, a schedule is evaluated, a search asks."""
    if isinstance(made, optax.GradientTransformation):
        grads = jax.tree.map(jnp.ones_like, PARAMS)
        tx, value = optax.with_extra_args_support(made), jnp.float32(1)
        extra = {"value": value, "grad": grads, "value_fn": lambda p: value, "grad_fn": lambda p: grads}
        return tx.update(grads, tx.init(PARAMS), PARAMS, **extra)
    if isinstance(made, lr_batch.Workload):
        return lr_batch.Study(workload=made, batch_sizes=(4,), space={"learning_rate": [0.1]}, seeds=1)
    if isinstance(made, hparam.Search):
        return made.ask(jax.random.key(0), made.init(), 2)
    return made
