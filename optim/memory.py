"""How much memory training with an optimizer takes, slot by slot."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import optax

from optim.arguments import explain_arguments, shown


class StateBytes(NamedTuple):
    """Bytes of weights, gradient and each field of the optimizer state.

    >>> import jax.numpy as jnp
    >>> table = state_bytes(optax.adam(0.1), {"w": jnp.ones((10, 10))})
    >>> dict(table.state), table.per_param["mu"]
    ({'count': 4, 'mu': 400, 'nu': 400}, 4.0)
    """

    num_params: int
    weights: int
    gradient: int
    state: Mapping[str, int]

    @property
    def total(self) -> int:
        return self.weights + self.gradient + sum(self.state.values())

    @property
    def per_param(self) -> dict[str, float]:
        """Bytes per parameter of every slot and in total; 0 where there are no parameters."""
        slots = {"weights": self.weights, "gradient": self.gradient, **self.state, "total": self.total}
        return {name: size / max(self.num_params, 1) for name, size in slots.items()}


def num_bytes(leaf: Any) -> int:
    return leaf.size * leaf.dtype.itemsize


def _slot(path: tuple) -> str:
    """The first field that says what is stored: `mu` in `inner_states/adamw/inner_state/mu/kernel`."""
    wrappers = ("inner_state", "inner_states", "inner_opt_state", "base")
    fields = [key.name for key in path if isinstance(key, jax.tree_util.GetAttrKey)]
    return next((name for name in fields if name not in wrappers), "other")


@explain_arguments
def state_bytes(optimizer: optax.GradientTransformation, params: Any) -> StateBytes:
    """Exact bytes of what one trial holds between two steps; nothing is allocated.

    Args:
      optimizer: a transformation, as `OPTIMIZERS["adam"]({})` makes it.
      params: arrays, or their shapes and dtypes (`jax.eval_shape`).

    Returns:
      Weights, gradient (in the dtypes of the weights), and the state by field; fields of
      the same name are added up.

    Raises:
      ValueError: a leaf of the parameters is no array.
    """
    try:
        shapes = jax.eval_shape(lambda tree: tree, params)
    except TypeError as error:
        raise ValueError(
            f"state_bytes: params must be a tree of arrays, or of their shapes, got {shown(params)}"
        ) from error
    state = jax.eval_shape(optimizer.init, shapes)
    by_slot: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        by_slot[_slot(path)] = by_slot.get(_slot(path), 0) + num_bytes(leaf)
    leaves = jax.tree.leaves(shapes)
    weights = sum(num_bytes(leaf) for leaf in leaves)
    return StateBytes(sum(leaf.size for leaf in leaves), weights, weights, MappingProxyType(by_slot))
