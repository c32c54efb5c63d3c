"""Calls of the public API, drawn: every function that a package lists, with arguments of the right kind mostly."""

from __future__ import annotations

import dataclasses
import inspect
import random
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
from hparam.mup.fan_growth import default_fans
from runs.load import named_or_loaded

PACKAGES = (lr_batch, optim, reg, hparam)
# Protocols and errors are not called, and records of results are made by what measures them.
LEFT_OUT = set(
    "ArrayStore ChunkStore StudyError LossFn Programs BestStrength CriticalBatchSize CriticalAtGoal EngineReport Trial "
    "Generalization LearningRateLaw Optimum Proposal Progress Ratio Result StrengthRow Curve Estimate CoordinateCheck "
    "Finalist Mup Search Segment State Strategy Tuning Dimension StateBytes Applied EarlyStopping EarlyStoppingState "
    "RegularizedState Optimizer Range Regularizer RegularizedOptimizer measure_noise_scale coordinate_check".split()
)
ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**30, float("nan"), float("inf"), -0.0, 1j),
    *("", "x", "nan", "loss<1", b"x", [], {}, (), set(), [None], [[1], [2, 3]], {"a": None}, {"learning_rate": []}),
    *(np.float32(0.3), np.int64(3), np.array([1.0, 2.0]), np.array([], np.float32), jnp.float32(0.1), range(3)),
    *(object(), len, lambda: 1, lambda *a: a, ValueError("x"), np.ma.array([1, 2], mask=[0, 1])),
]  # fmt: skip


class Later(NamedTuple):
    """An argument that takes training to make, made when it is drawn, once."""

    made: Callable[[], Any]


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
        return used(self.function(*positional, **named))

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
        if callable(thing) and name.partition(".")[2] not in LEFT_OUT
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
    parameters = inspect.signature(function).parameters.values()
    wrong = draw.choice([0, 1, 1, 1, 2])
    odd = {parameter.name for parameter in draw.sample(list(parameters), min(wrong, len(parameters)))}
    for parameter in parameters:
        needed = parameter.default is parameter.empty
        if parameter.name in odd:
            several = {
                parameter.VAR_POSITIONAL: lambda: [draw.choice(ODD)],
                parameter.VAR_KEYWORD: lambda: {"x": draw.choice(ODD)},
            }
            chosen[parameter.name] = several.get(parameter.kind, lambda: draw.choice(ODD))()
        elif needed or (parameter.name in pools and draw.random() < 0.3):
            value = draw.choice(pools.get(parameter.name, [0.1]))
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
PARAMS = {"layer": {"kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)}}
BATCH = {"x": np.ones((6, 4), np.float32), "y": np.zeros(6, np.int32)}


def of_params(params: Any, batch: Any, key: Any) -> Any:
    del key
    return optax.softmax_cross_entropy_with_integer_labels(batch["x"] @ params["layer"]["kernel"], batch["y"])


@cache
def pool() -> dict[str, list[Any]]:
    """Fitting arguments, by the name of the parameter."""
    workload = named_or_loaded("workload", "my.py:workload")
    grid = {"learning_rate": [0.1, 0.5]}
    study = lr_batch.Study(
        workload=workload, batch_sizes=(4, 8), space=grid, seeds=2, extend=False, budget=20
    )
    result = cache(lambda: lr_batch.run(study))
    regularized = lr_batch.Study(workload=workload, batch_sizes=(8,), space=grid, seeds=2, regularizer="l2")
    fits = cache(lambda: lr_batch.generalize(regularized, 1.0))
    space = hparam.Space({"learning_rate": hparam.log(0.1, 1.0)})
    plan = hparam.TuningPlan(
        dataclasses.replace(study, batch_sizes=(8,)),
        space,
        search="random",
        trials=2,
        ask=2,
        confirm=2,
        width=2,
    )
    rows = np.asarray(workload.train_data["x"]), np.asarray(workload.train_data["y"])
    model = (lambda key: {"w": jnp.zeros((5, 3))}, lambda params, x: x @ params["w"])
    key = jax.random.key(0)
    return {
        "workload": [workload, "digits_mlp"],
        **dict.fromkeys(["base", "target", "other_width"], [workload, optax.sgd(0.1)]),
        "optimizer": ["sgd", "adam", optim.OPTIMIZERS["momentum"], lambda h: optax.sgd(h["learning_rate"])],
        "batch_sizes": [(4, 8), [8], (1,), 8],
        "space": [grid, space],
        "fixed": [{}, {"momentum": 0.9}],
        "fields": [{"workload": workload, "optimizer": "sgd", "batch_sizes": (8,), "budget": 10}],
        "seeds": [1, 2, (3, 4)],
        "goal": [lr_batch.Goal("loss", 0.8), "loss<0.8", "error<0.5"],
        "own": ["loss"],
        "budget": [10, "2epochs", 20],
        "slack": [1.0, 2.0, float("inf")],
        **dict.fromkeys(["extend", "above", "to_goal", "nesterov", "amsgrad", "line_search"], [True, False]),
        "lanes": ["vmap", "blocks", "map", "auto"],
        "regularizer": ["l2", None],
        "reached": ["average", "first"],
        "evaluation_growth": [0.5, 1.0],
        "schedule": ["constant", "cosine"],
        "study": [study],
        "result": [Later(result)],
        "fits": [Later(fits)],
        "plan": [plan],
        "epochs": [1.0, 0.5],
        "model": [model],
        **dict.fromkeys(["train", "held_out"], [rows]),
        "loss": [optax.softmax_cross_entropy_with_integer_labels],
        "name": ["cosine", "tiny", "linear"],
        "metrics": [{}, {"accuracy": lambda outputs, labels: outputs.argmax(-1) == labels}],
        "micro_batch": [8, 64],
        "units": [{}, {"decay_steps": "epochs"}],
        "metric": ["loss", "error"],
        "threshold": [0.3, 1.0],
        "init": [workload.init],
        "evaluate": [workload.evaluate],
        **dict.fromkeys(["train_data", "eval_data", "data"], [BATCH, workload.train_data]),
        "level": [0.9, 0.5],
        **dict.fromkeys(["low"], [0.1, 1.0]),
        **dict.fromkeys(["high"], [2.0, 10.0]),
        "num": [2, 5],
        "values": [[1.0, 2.0, 3.0], [0.5, 0.5]],
        "p": [[0.01, 0.5], {"a": 0.01, "b": 0.2}],
        "texts": [["learning_rate=log(0.1,1)"], ["momentum=linear(0,0.9)"]],
        **dict.fromkeys(["small_sq_norms"], [np.array([4.0, 5.0, 6.0])]),
        **dict.fromkeys(["big_sq_norms"], [np.array([2.0, 2.5, 3.0])]),
        "batch_small": [8],
        "batch_big": [64],
        "resamples": [20],
        "seed": [0, 1],
        **dict.fromkeys(["one", "other"], [Later(lambda: lr_batch.best_settings(result())[0])]),
        "batch_size": [4, 8],
        "learning_rate": [0.1, jnp.float32(0.1), optax.constant_schedule(0.1)],
        **dict.fromkeys(["b1", "b2", "b3", "decay", "momentum"], [0.9, 0.0]),
        **dict.fromkeys(["eps", "relative_eps"], [1e-8]),
        **dict.fromkeys(["weight_decay", "initial"], [0.0, 0.1]),
        **dict.fromkeys(["mu_dtype", "accumulator_dtype"], [None, jnp.bfloat16, "float32"]),
        **dict.fromkeys(["interval", "start", "num_steps", "block_size", "memory_size", "min_steps", "patience"], [2, 8]),
        **dict.fromkeys(["max_steps", "size", "levels"], [4, 16]),
        "eta": [2, 3],
        "mask": [optim.matrices, None, {"layer": {"kernel": True, "bias": False}}],
        "hidden": [optim.is_hidden_matrix],
        "graft": ["adam", "sgd", "none"],
        "options": [{}],
                "inner": [optax.sgd(0.1)],
        "params": [PARAMS],
        "opt_state": [optax.sgd(0.1).init(PARAMS)],
        "matrix": [jnp.ones((3, 4))],
        "path": ["layer/kernel"],
        "leaf": [jnp.ones((3, 4))],
        "batch": [BATCH],
        "loss_fn": [of_params],
        "key": [key],
        "pattern": ["kernel"],
        "owner": ["mixup"],
        "num_classes": [3],
        "applied": [reg.Applied()],
        "error": [ValueError("one\ntwo")],
        "setting": [{"learning_rate": 0.1}],
        "settings": [[{"learning_rate": 0.1}]],
        "state": [hparam.State(())] if "segments" in hparam.State._fields else [None],
        "search": ["random", "grid"],
        "trials": [2, 4],
        "ask": [2],
        "width": [2],
        "confirm": [2],
        "sampler": ["tpe"],
        "fans": [default_fans],
    }  # fmt: skip


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
