"""The ways a model is written, Flax linen, Flax nnx, a pair of functions, in one calling convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import linen
from flax.core.scope import LazyRng

from lr_batch.problem.calling_convention import Call, Model, refuse_state

# Streams that linen modules ask for by name. Others get the key of "params", unless the module asks first whether
# they are there.
DROPOUT = "dropout"
STREAMS = (
    "noise",
    "default",
    "sample",
    "sampling",
    "stochastic",
    "drop_path",
    "droppath",
    "augment",
    "mask",
    "gumbel",
)
RECORDED = "intermediates"  # what `sow` leaves behind: written by a call, never read


def as_model(model: Any, x: jax.Array | np.ndarray) -> Model:
    """A linen module, an nnx module, a function `rngs -> nnx module`, or a pair `(init, apply)` in one form.

    Args:
      model: one of these.
      x: a few rows of its inputs.

    Raises:
      ValueError: if `model` is of no known kind, or keeps state that changes.
    """
    if isinstance(model, linen.Module):
        return _from_linen(model, x)
    if isinstance(model, tuple) and len(model) == 2 and all(callable(function) for function in model):
        return _from_pair(*model)
    from lr_batch.problem.nnx_model import from_nnx

    if (made := from_nnx(model, x)) is not None:
        return made
    raise ValueError(
        "from_arrays: model must be a Flax linen module, an nnx module, a function rngs -> nnx module, "
        f"or a pair (init, apply), got {model!r}"
    )


def streams(key: jax.Array) -> dict[str, Any]:
    """Random streams of a linen module's step: dropout's is the step's key, others have one of their own.

    Those that no module asks for are not computed, and so are no part of the program, whose hash identifies a study.
    """
    others = {name: LazyRng.create(key, name) for name in (*STREAMS, "params")}
    return {DROPOUT: key, **others}


def _from_linen(module: linen.Module, x: jax.Array | np.ndarray) -> Model:
    call = Call.of(module.__call__, inputs=1)

    def variables_of(key, x):
        params_key, dropout_key = jax.random.split(key)
        made = module.init({**streams(dropout_key), "params": params_key}, x, **call.keywords(None))
        return {name: collection for name, collection in made.items() if name != RECORDED}

    constants = _constants(module, call, variables_of, x)

    def init(key, x):
        return variables_of(key, x).get("params", {})

    def apply(params, x, key, **further):
        rngs = None if key is None else streams(key)
        variables = {"params": params, **constants}
        return module.apply(variables, x, rngs=rngs, **{**call.keywords(key), **further})

    return Model(init, apply, _linen_dropout(apply), call.switches)


def _constants(
    module: linen.Module, call: Call, variables_of: Callable, x: jax.Array | np.ndarray
) -> dict[str, Any]:
    """Variables beside the parameters, which no call may change: all seeds have those of key 0."""
    key = jax.random.key(0)
    names = set(jax.eval_shape(variables_of, key, x)) - {"params"}
    if not names:
        return {}

    def before_and_after():
        variables = variables_of(key, x)
        keywords = call.keywords(key)
        _, after = module.apply(variables, x, rngs=streams(key), mutable=sorted(names), **keywords)
        return [{name: tree.get(name, {}) for name in sorted(names)} for tree in (variables, after)]

    before, after = jax.device_get(jax.jit(before_and_after)())
    refuse_state({name for name in names if not same(before[name], after[name])})
    return before


def same(before: Any, after: Any) -> bool:
    """Whether two trees hold the same values."""
    if jax.tree.structure(before) != jax.tree.structure(after):
        return False
    return all(map(np.array_equal, jax.tree.leaves(before), jax.tree.leaves(after)))


def _linen_dropout(apply: Callable) -> Callable[[Any, jax.Array], str]:
    def dropout(params, x):
        found: list[str] = []

        def look(call_next, args, kwargs, context):
            module = context.module
            if type(module).__module__.startswith("flax."):
                found.extend(rates(type(module).__name__, vars(module)))
            return call_next(*args, **kwargs)

        with linen.intercept_methods(look):
            jax.eval_shape(apply, params, x, jax.eval_shape(jax.random.key, 0))
        return next(iter(found), "")

    return dropout


def rates(layer: str, attributes: dict[str, Any]) -> list[str]:
    """Says which of a Flax layer's own rates is above 0."""
    own = {name: value for name, value in attributes.items() if name in ("rate", "dropout_rate")}
    return [
        f"{layer} has {name} {value:g}" for name, value in own.items() if np.ndim(value) == 0 and value > 0
    ]


def _from_pair(init: Callable, apply: Callable) -> Model:
    call = Call.of(apply, inputs=2)

    def apply_model(params, x, key, **further):
        return apply(params, x, **{**call.keywords(key), **further})

    return Model(lambda key, x: init(key), apply_model, switches=call.switches)
