"""The ways a model is written, Flax linen, Flax nnx, a pair of functions, in one calling convention."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
from flax import linen

from lr_batch.problem.calling_convention import Model, refuse_state


def as_model(model: Any) -> Model:
    """A linen module, an nnx module, a function `rngs -> nnx module`, or a pair `(init, apply)` in one form.

    Raises:
      ValueError: if `model` is none of them.
    """
    if isinstance(model, linen.Module):
        return _from_linen(model)
    if isinstance(model, tuple) and len(model) == 2 and all(callable(function) for function in model):
        return _from_pair(*model)
    from lr_batch.problem.nnx_model import from_nnx

    if (made := from_nnx(model)) is not None:
        return made
    raise ValueError(
        "from_arrays: model must be a Flax linen module, an nnx module, a function rngs -> nnx module, "
        f"or a pair (init, apply), got {model!r}"
    )


def _from_linen(module: linen.Module) -> Model:
    mode = _mode_argument(module)

    def init(key, x):
        params_key, dropout_key = jax.random.split(key)
        variables = module.init({"params": params_key, "dropout": dropout_key}, x, **mode(False))
        refuse_state(set(variables) - {"params"})
        return variables["params"]

    def apply(params, x, key):
        rngs = None if key is None else {"dropout": key}
        return module.apply({"params": params}, x, rngs=rngs, **mode(key is not None))

    return Model(init, apply)


def _mode_argument(module: linen.Module) -> Callable[[bool], dict[str, bool]]:
    """`training -> keyword` for a `__call__` that takes `deterministic` or `train`, else no keyword."""
    names = inspect.signature(type(module).__call__).parameters
    if "deterministic" in names:
        return lambda training: {"deterministic": not training}
    if "train" in names:
        return lambda training: {"train": training}
    return lambda training: {}


def _from_pair(init: Callable, apply: Callable) -> Model:
    takes_key = "key" in inspect.signature(apply).parameters

    def apply_model(params, x, key):
        return apply(params, x, key=key) if takes_key else apply(params, x)

    return Model(lambda key, x: init(key), apply_model)
