"""Parameters to evaluate of an optimizer that averages its iterates, found in its state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from lr_batch.problem.workload import PyTree
from optim.schedule_free import ScheduleFreeState

FREE = (ScheduleFreeState, contrib.ScheduleFreeState)  # ours and Optax's


def evaluated_params(opt_state: optax.OptState, params: PyTree) -> PyTree:
    """x = (y - (1 - b1) z) / b1 where a schedule-free method trains y (Defazio et al., 2024), else the parameters.

    This is the default of the attribute `eval_params` of a user's optimizer, see `lr_batch.as_optimizer`.
    Parameters that such a method does not train, as under `optax.partition`, stay.
    """
    is_free = lambda node: isinstance(node, FREE)
    for state in jax.tree.leaves(opt_state, is_leaf=is_free):
        if is_free(state):
            params = _averaged(state, params)
    return params


def _averaged(state: Any, params: PyTree) -> PyTree:
    is_masked = lambda node: isinstance(node, optax.MaskedNode)

    def average(z, y):
        return y if is_masked(z) else jnp.asarray((y - (1 - state.b1) * z) / state.b1, y.dtype)

    return jax.tree.map(average, state.z, params, is_leaf=is_masked)
