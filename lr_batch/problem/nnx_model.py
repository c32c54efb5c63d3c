"""Flax nnx modules as pure functions; a module of its own, since importing nnx takes a fifth of a second."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lr_batch.problem.calling_convention import Call, Model
from lr_batch.problem.depends import depends_on
from lr_batch.problem.model import rates, with_state
from optim.arguments import type_of

# State that is neither trained nor drawn from, nor what `sow` leaves behind: written by a call, never read.
OTHER = nnx.Not(nnx.Any(nnx.Param, nnx.RngState, nnx.Intermediate))


def from_nnx(model: Any, x: jax.Array | np.ndarray) -> Model | None:
    """An nnx module, or a function `rngs -> nnx module`, as a `Model`; None if `model` is neither."""
    if isinstance(model, nnx.Module):
        return _from_maker(lambda rngs: nnx.clone(model), x)
    is_other_class = inspect.isclass(model) and not issubclass(model, nnx.Module)
    return _from_maker(model, x) if callable(model) and not is_other_class else None


def _from_maker(make: Callable[..., Any], x: jax.Array | np.ndarray) -> Model:
    call = Call.of(_module(make, 0), inputs=1)

    def run(params, state, x, key, training, further):
        # The module is built inside the trace, because nnx lets no other trace reseed its random streams;
        # its initial parameters are replaced at once and so never computed.
        module = _module(make, 0)
        nnx.update(module, params)
        nnx.update(module, jax.tree.map(jnp.asarray, state))  # nnx assigns into them
        if key is not None:
            reseed(module, key)
        module.train() if training else module.eval()
        rngs = nnx.Rngs(key) if training else None
        outputs = module(x, **{**call.keywords(key if training else None, rngs), **further})
        return outputs, nnx.to_pure_dict(nnx.state(module, OTHER))

    def params_of(key):
        return nnx.to_pure_dict(nnx.state(_module(make, key), nnx.Param))

    def state_of(key):
        return nnx.to_pure_dict(nnx.state(_module(make, key), OTHER))

    def dropout(params, x):
        del params, x
        graph = nnx.iter_graph(_module(make, 0))
        layers = (node for _, node in graph if type(node).__module__.startswith("flax."))
        return next(
            (said for node in layers for said in rates(type(node).__name__, getattr(node, "__dict__", {}))),
            "",
        )

    made = with_state(
        lambda key, x: params_of(key),
        lambda params, state, x, key, further: run(params, state, x, key, key is not None, further),
        state_of,
        x,
        call,
        lambda apply: dropout,
    )
    zero = jax.random.key(0)
    _refuse_noise_in_evaluation(lambda x, key: run(params_of(zero), state_of(zero), x, key, False, {})[0], x)
    return made


def reseed(module: nnx.Module, key: jax.Array) -> None:
    """Every random stream of the module from one key, each folded with its number, so that no two are alike."""
    streams = [node for _, node in nnx.iter_graph(module) if isinstance(node, nnx.RngStream)]
    for number, stream in enumerate(streams):
        own, shape = jax.random.fold_in(key, number), stream.key.shape
        stream.key.set_value(jax.random.split(own, shape) if shape else own)
        stream.count.set_value(jnp.zeros(shape, jnp.uint32))


def _module(make: Callable[[nnx.Rngs], nnx.Module], key: Any) -> nnx.Module:
    module = make(nnx.Rngs(key))
    if not isinstance(module, nnx.Module):
        raise ValueError(f"from_arrays: a model function must return an nnx module, got {type_of(module)}")
    return module


def _refuse_noise_in_evaluation(evaluated: Callable, x: jax.Array | np.ndarray) -> None:
    """An nnx module brings its own keys: noise that `eval()` leaves on would be one fixed draw."""
    if depends_on(lambda key: evaluated(x, key), jax.random.key(0)):
        raise ValueError(
            "from_arrays: the model draws random numbers in evaluation too; switch its noise off where "
            "eval() sets deterministic, or by a keyword of __call__ such as deterministic"
        )
