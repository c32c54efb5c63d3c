"""The ways a model is written, Flax linen, Flax nnx, a pair of functions, in one calling convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from flax.core.scope import LazyRng
from flax.errors import ModifyScopeVariableError

from lr_batch.problem.calling_convention import (
    Call,
    Model,
    moving_of,
    no_dropout,
    parameters,
    refuse_resting_averages,
    split_state,
)
from lr_batch.problem.statistics import NOT_READ, by_path, refuse_batch_in_evaluation, with_leaves
from lr_batch.problem.trees import Key, PyTree
from optim.functions import check_functions

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
# Names of the second argument of an `apply`
STATE = ("state", "states", "batch_stats", "model_state", "net_state")
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
        return _from_pair(*model, x)
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

    def run(params, state, x, key, further):
        state = jax.tree.map(jnp.asarray, state)  # modules assign into it
        rngs = None if key is None else streams(key)
        variables, keywords = {"params": params, **state}, {**call.keywords(key), **further}
        if key is None or not state:
            try:
                return module.apply(variables, x, rngs=rngs, **keywords), state
            except ModifyScopeVariableError:  # it moves its averages though it does not train
                raise ValueError(NOT_READ) from None
        outputs, after = module.apply(variables, x, rngs=rngs, mutable=sorted(state), **keywords)
        return outputs, {name: after.get(name, {}) for name in state}

    def init(key, x):
        return variables_of(key, x).get("params", {})

    def state_of(key):
        return {name: tree for name, tree in variables_of(key, x).items() if name != "params"}

    return with_state(init, run, state_of, x, call, _linen_dropout)


def with_state(
    init: Callable, run: Callable, state_of: Callable, x: Any, call: Call, dropout_of: Callable
) -> Model:
    """A model from its pure form. All seeds have the state of key 0.

    Args:
      init: `(key, x) -> params`.
      run: `(params, state, x, key, further) -> (outputs, state)`; with a key it trains.
      state_of: key -> state beside the parameters.
      x: a few rows of the inputs.
      call: what it is called with.
      dropout_of: `apply -> Model.dropout`.
    """
    key = jax.random.key(0)
    if not jax.tree.leaves(jax.eval_shape(state_of, key)):
        apply = lambda params, x, key, **further: run(params, {}, x, key, further)[0]
        return Model(init, apply, dropout_of(apply), call.switches)

    def before_and_after(key, x):  # arguments: as constants of the program they would take minutes to fold
        params, before = init(key, x), state_of(key)
        return params, before, run(params, before, x, key, {})[1]

    params, state, after = jax.device_get(jax.jit(before_and_after)(key, x))
    left = lambda x, params, further: run(params, state, x, key, further)[1]
    moving = split_state(lambda x, params: left(x, params, {}), state, after, x, params)
    if not moving:
        refuse_resting_averages(call.switches, lambda x, further: left(x, params, further), x)

    def apply(params, x, key, **further):
        return run(params, state, x, key, further)[0]

    def moved(params, averages, x, key):
        outputs, after = run(params, with_leaves(state, averages), x, key, {})
        after = by_path(after)
        return outputs, {name: after[name] for name in averages}

    averages = moving_of(moved, moving, params, x)
    if averages and not call.is_told:
        refuse_batch_in_evaluation(lambda averages: moved(params, averages, x, None)[0], moving)
    return Model(init, apply, dropout_of(apply), call.switches, averages)


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


def _from_pair(init: Callable[[Key], PyTree], apply: Callable, x: Any) -> Model:
    check_functions("from_arrays", _from_pair, {"init": init})
    if _takes_state(apply):
        return _from_stateful_pair(init, apply, x)
    call = Call.of(apply, inputs=2)

    def apply_model(params, x, key, **further):
        return apply(params, x, **{**call.keywords(key), **further})

    return Model(lambda key, x: init(key), apply_model, switches=call.switches)


def _from_stateful_pair(init: Callable, apply: Callable, x: Any) -> Model:
    """`init(key) -> (params, state)` and `apply(params, state, x, ...) -> (outputs, state)`."""
    call = Call.of(apply, inputs=3)
    pair = jax.eval_shape(init, jax.random.key(0))
    if not (isinstance(pair, tuple) and len(pair) == 2):
        raise ValueError(
            "from_arrays: apply takes a state, so init must return a pair (params, state), got "
            f"{type(pair).__name__}"
        )

    def run(params, state, x, key, further):
        outputs, after = apply(params, state, x, **{**call.keywords(key), **further})
        return outputs, after

    return with_state(
        lambda key, x: init(key)[0],
        run,
        lambda key: init(key)[1],
        x,
        call,
        lambda apply: no_dropout,
    )


def _takes_state(apply: Callable) -> bool:
    names = [name for name, _ in parameters(apply)]
    return len(names) > 2 and names[1] in STATE
