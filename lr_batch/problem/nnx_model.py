"""Flax nnx modules as pure functions; a module of its own, since importing nnx takes a fifth of a second."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from flax import nnx

from lr_batch.problem.calling_convention import Model, refuse_state


def from_nnx(model: Any) -> Model | None:
    """An nnx module, or a function `rngs -> nnx module`, as a `Model`; None if `model` is neither."""
    if isinstance(model, nnx.Module):
        return _from_maker(lambda rngs: nnx.clone(model))
    is_other_class = inspect.isclass(model) and not issubclass(model, nnx.Module)
    return _from_maker(model) if callable(model) and not is_other_class else None


def _from_maker(make: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    def init(key, x):
        del x  # nnx modules know their shapes.
        module = _checked_module(make(nnx.Rngs(key)))
        return nnx.to_pure_dict(nnx.state(module, nnx.Param))

    def apply(params, x, key):
        # The module is built inside the trace, because nnx lets no other trace reseed its random streams;
        # its initial parameters are replaced at once and so never computed.
        module = make(nnx.Rngs(0))
        nnx.update(module, params)
        if key is None:
            module.eval()
        else:
            module.train()
            nnx.reseed(module, default=key, dropout=key)
        return module(x)

    return Model(init, apply)


def _checked_module(module: Any) -> nnx.Module:
    if not isinstance(module, nnx.Module):
        raise ValueError(
            f"from_arrays: a model function must return an nnx module, got {type(module).__name__}"
        )
    state = nnx.to_flat_state(nnx.state(module, nnx.Not(nnx.Any(nnx.Param, nnx.RngState))))
    refuse_state({type(variable).__name__ for _, variable in state})
    return module
