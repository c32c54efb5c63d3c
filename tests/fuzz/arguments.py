"""Fitting arguments for calls of the public API, by the name of the parameter."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import hparam
import lr_batch
import optim
import reg
from hparam.mup.fan_growth import default_fans
from tests.fuzz.made import Kept, Later, curves, fits, result, study, workload

ONE_RATE = {"learning_rate": [0.1]}
PARAMS = {"layer": {"kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)}}
BATCH = {"x": np.ones((6, 4), np.float32), "y": np.zeros(6, np.int32)}


def of_params(params: Any, batch: Any, key: Any) -> Any:
    del key
    return optax.softmax_cross_entropy_with_integer_labels(batch["x"] @ params["layer"]["kernel"], batch["y"])


@cache
def pool() -> dict[str, list[Any]]:
    """Fitting arguments, by the name of the parameter."""
    return {
        **of_studies(),
        **of_searches(),
        **of_workloads(),
        **of_statistics(),
        **of_optimizers(),
        **of_regularizers(),
        **of_schedules(),
        **of_running(),
        **of_curves(),
    }


def of_studies() -> dict[str, list[Any]]:
    """What a study is made of, and what is read off it."""
    return {
        "optimizer": ["sgd", "adam", optim.OPTIMIZERS["momentum"], lambda h: optax.sgd(h["learning_rate"])],
        "batch_sizes": [(4, 8), [8], (1,), 8],
        "space": [{"learning_rate": [0.1, 0.5]}, hparam.Space({"learning_rate": hparam.log(0.1, 1.0)})],
        "fixed": [{}, {"momentum": 0.9}],
        "fields": [{"workload": workload(), "optimizer": "sgd", "batch_sizes": (8,), "budget": 10}],
        "seeds": [1, 2, (3, 4)],
        "goal": [lr_batch.Goal("loss", 0.8), "loss<0.8", "error<0.5"],
        "own": ["loss"],
        "budget": [10, "2epochs", 20],
        "slack": [1.0, 2.0, float("inf")],
        "lanes": ["vmap", "blocks", "map", "auto"],
        "regularizer": ["l2", None],
        "reached": ["average", "first"],
        "evaluation_growth": [0.5, 1.0],
        "schedule": ["constant", "cosine"],
        "units": [{}, {"decay_steps": "epochs"}],
        "study": [study()],
        "result": [Later(result)],
        "fits": [Later(fits)],
        "epochs": [1.0, 0.5],
        **dict.fromkeys(["one", "other"], [Later(lambda: lr_batch.best_settings(result())[0])]),
        "error": [ValueError("one\ntwo")],
        "batch_schedule": [None, "x2@3", [("50%", "x2")], [(3, 8)]],
        "precision": ["bfloat16", "float32"],
        "statistics": ["averaged", None],
        "group_size": [None, 4],
        "augment": [None, "none", "flip"],
        "mesh": [None, "lane=1", "data=1"],
        "evaluation_share": [None, 0.25, 1.0],
        "design": [
            None,
            hparam.search_design(hparam.Space({"learning_rate": hparam.log(0.1, 1.0)}), trials=2),
        ],
        "follow": [False, True],
        "brisk": [False, True],
        "from_arrays.weights": [None, (np.arange(40) % 2, None), (np.ones(40), np.ones(20))],
        "Workload.weights": [None, lambda batch: jnp.ones(len(batch["y"]))],
    }


def of_searches() -> dict[str, list[Any]]:
    space = hparam.Space({"learning_rate": hparam.log(0.1, 1.0)})
    one_size = dataclasses.replace(study(), batch_sizes=(8,))
    plan = hparam.TuningPlan(one_size, space, search="random", trials=2, ask=2, confirm=2, width=2)
    return {
        "plan": [plan],
        "texts": [["learning_rate=log(0.1,1)"], ["momentum=linear(0,0.9)"]],
        "setting": [{"learning_rate": 0.1}],
        "settings": [[{"learning_rate": 0.1}]],
        "state": [hparam.State(())] if "segments" in hparam.State._fields else [None],
        "search": ["random", "grid"],
        "trials": [2, 4],
        **dict.fromkeys(["ask", "width", "confirm"], [2]),
        "sampler": ["tpe"],
        "fans": [default_fans],
        **dict.fromkeys(["max_steps", "size", "levels"], [4, 16]),
        "eta": [2, 3],
        "options": [{}],
    }


def of_workloads() -> dict[str, list[Any]]:
    given = workload()
    rows = np.asarray(given.train_data["x"]), np.asarray(given.train_data["y"])
    return {
        "workload": [given, "digits_mlp"],
        **dict.fromkeys(["base", "target", "other_width"], [given, optax.sgd(0.1)]),
        "model": [(lambda key: {"w": jnp.zeros((5, 3))}, lambda params, x: x @ params["w"])],
        **dict.fromkeys(["train", "held_out"], [rows]),
        "loss": [optax.softmax_cross_entropy_with_integer_labels],
        "name": ["cosine", "tiny", "linear"],
        "metrics": [{}, {"accuracy": lambda outputs, labels: outputs.argmax(-1) == labels}],
        "micro_batch": [8, 64],
        "metric": ["loss", "error"],
        "threshold": [0.3, 1.0],
        "init": [given.init],
        "evaluate": [given.evaluate],
        **dict.fromkeys(["train_data", "eval_data", "data"], [BATCH, given.train_data]),
    }


def of_statistics() -> dict[str, list[Any]]:
    return {
        "level": [0.9, 0.5],
        "low": [0.1, 1.0],
        "high": [2.0, 10.0],
        "num": [2, 5],
        "values": [[1.0, 2.0, 3.0], [0.5, 0.5]],
        "p": [[0.01, 0.5], {"a": 0.01, "b": 0.2}],
        "small_sq_norms": [np.array([4.0, 5.0, 6.0])],
        "big_sq_norms": [np.array([2.0, 2.5, 3.0])],
        "batch_small": [8],
        "batch_big": [64],
        "resamples": [20],
        "seed": [0, 1],
        "batch_size": [4, 8],
        "key": [jax.random.key(0)],
    }


def of_schedules() -> dict[str, list[Any]]:
    return {
        "peak_value": [0.1, jnp.float32(1.0)],
        **dict.fromkeys(["init_value", "end_value"], [0.0, 0.01]),
        **dict.fromkeys(["warmup_steps", "timescale"], [1, 5]),
        **dict.fromkeys(["num_cycles", "power"], [1, 2]),
        "cycle_mult": [1.0, 2.0],
        "decay_fraction": [0.1, 0.5],
        "boundaries": [(3, 6), [5]],
        "factor": [0.1],
        "what": ["decay_steps"],
        "given": ["5%", "10epochs", "100_000examples", 10],
        "num_examples": [40],
        "Length.value": [0.5, 10],
        "unit": ["epochs", "examples"],
        "phases": [((3, 8),)],
    }


def of_running() -> dict[str, list[Any]]:
    """What a run is given beside its study."""
    called = [lambda *arguments: None, print]
    return {
        **dict.fromkeys(["on_chunk", "on_round", "on_point"], called),
        "store": [None, Kept()],
        "workers": [None, 1, 2],
        "time_limit": [None, 0.01, 10.0],
        "noise_along_training.study": [
            dataclasses.replace(study(), batch_sizes=(8,), space=ONE_RATE, seeds=1)
        ],
        **dict.fromkeys(["programs", "hand_out"], [None]),
        **dict.fromkeys(["norms", "on"], [False, True]),
        "draws": [0, 1],
        "apply": [lambda x, draws: x],
        "folder": [".", "nowhere", "my.py"],
        "split": ["train", "test[:10]"],
        "x": ["image"],
        "y": ["label"],
        "length": [8],
        "readout": ["init", "multiplier"],
        **dict.fromkeys(["depth", "depth_exponent"], [1.0, 0.5]),
        "in_branch": [lambda path, fans: False],
    }


def of_curves() -> dict[str, list[Any]]:
    """What is read off curves that were measured, and what is read from there."""
    critical = lambda: lr_batch.critical_batch_size(curves())
    optima = lambda: lr_batch.best_settings(result())
    return {
        "critical": [Later(critical)],
        "law": [None, Later(lambda: lr_batch.learning_rate_law(curves()))],
        "devices": [(1, 2, 4), [8]],
        "cluster": [lr_batch.Cluster(1000.0, 0.001)],
        "optima": [Later(optima)],
        "studies": [Later(lambda: {"one": optima(), "other": optima()})],
        "step_cost": [{"one": {4: 1.0, 8: 1.0}, "other": {4: 4.0, 8: 8.0}}],
        "found": [Later(lambda: {(4, "a"): critical(), (8, "a"): critical(), (4, "b"): critical()})],
        "until": [8.0, 1e6],
        "relative_error": [[0.1, 0.1, 0.1, 0.1]],
        "held_out_sizes.batch_size": [[4, 8, 16, 32]],
        "held_out_sizes.steps": [[100.0, 50.0, 25.0, 20.0]],
        "sharpness": [1.0, 2.0],
    }


def of_optimizers() -> dict[str, list[Any]]:
    counts = ["interval", "start", "num_steps", "block_size", "memory_size", "min_steps", "patience"]
    return {
        "learning_rate": [0.1, jnp.float32(0.1), optax.constant_schedule(0.1)],
        **dict.fromkeys(["b1", "b2", "b3", "decay", "momentum"], [0.9, 0.0]),
        **dict.fromkeys(["eps", "relative_eps"], [1e-8]),
        **dict.fromkeys(["weight_decay", "initial"], [0.0, 0.1]),
        **dict.fromkeys(["extend", "above", "to_goal", "nesterov", "amsgrad", "line_search"], [True, False]),
        **dict.fromkeys(["mu_dtype", "accumulator_dtype"], [None, jnp.bfloat16, "float32"]),
        **dict.fromkeys(counts, [2, 8]),
        "mask": [optim.matrices, None, {"layer": {"kernel": True, "bias": False}}],
        "hidden": [optim.is_hidden_matrix],
        "graft": ["adam", "sgd", "none"],
        "inner": [optax.sgd(0.1)],
        "params": [PARAMS],
        "opt_state": [optax.sgd(0.1).init(PARAMS)],
        **dict.fromkeys(["matrix", "leaf"], [jnp.ones((3, 4))]),
        "path": ["layer/kernel"],
        "optimizers.values": [{"learning_rate": 0.1}, {}, {"learning_rate": jnp.float32(0.1)}],
        "regularizers.values": [{"learning_rate": 0.1}, {}],
        "state_bytes.optimizer": [optax.adam(0.1), optax.sgd(0.1)],
        "regularized.optimizer": [optax.adam(0.1)],
        "keep_dtypes.transformation": [optax.adam(0.1)],
        **dict.fromkeys(["max_norm", "rho", "trust_coefficient", "momentum_decay"], [0.1, 1.0]),
        **dict.fromkeys(["centered", "eps_in_sqrt", "clip", "average", "matricize"], [True, False]),
        **dict.fromkeys(["phase", "merge_dims"], [1, 8]),
    }


def of_regularizers() -> dict[str, list[Any]]:
    return {
        "batch": [BATCH],
        "loss_fn": [of_params],
        "pattern": ["kernel"],
        "owner": ["mixup"],
        "num_classes": [3],
        "applied": [reg.Applied()],
    }
