"""Magnitude pruning on a schedule."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from optim.hyperparameters import hyperparameters
from optim.range import PROBABILITY, Range
from reg.applied import Applied, PyTree, Scalar
from reg.masks import Mask, checked, weights

REFRESH = 16  # steps between two choices of what to prune: each sorts all weights


class PruningState(NamedTuple):
    """`kept`: 1 where a weight lives, 0 where it is pruned; chosen anew every `REFRESH` of `count` steps."""

    kept: PyTree
    count: Int[Array, ""]


@hyperparameters(sparsity=PROBABILITY, prune_steps=Range(low=1.0))
def pruning(sparsity: Scalar, prune_steps: Scalar = 1000.0, mask: Mask = weights) -> Applied:
    """The weights of smallest magnitude over the whole network become 0 and stay 0.

    After t steps the share s_t = s (1 - (1 - t/T)^3) is pruned, s from T on: s = `sparsity` in [0, 1),
    T = `prune_steps` >= 1 (Zhu & Gupta, 2017, equation 1). Of n weights exactly floor(s_t n) are. The paper
    prunes layer by layer.

    Args:
      sparsity: s, share of the weights, in [0, 1).
      prune_steps: T, steps, in [1, inf).
      mask: which leaves, a function of the parameters; default their weights.
    """

    def init_fn(params):
        checked("pruning", mask, params)
        return PruningState(jax.tree.map(jnp.ones_like, params), jnp.zeros([], jnp.int32))

    def update_fn(updates, state, params=None):
        theta, chosen = optax.apply_updates(params, updates), mask(params)
        share = sparsity * (1 - (1 - jnp.minimum(state.count / prune_steps, 1.0)) ** 3)
        due = state.count % REFRESH == 0
        kept = jax.lax.cond(due, lambda: _largest(theta, state.kept, chosen, share), lambda: state.kept)
        # The selection by the strength, one number, keeps 0 exact where that by `kept` would not: see `of_result`.
        pruned = jax.tree.map(
            lambda k, u, w: jnp.where(sparsity > 0, jnp.where(k > 0, u, -w), u), kept, updates, params
        )
        return pruned, PruningState(kept, state.count + 1)

    return Applied(after=optax.GradientTransformation(init_fn, update_fn))


def _largest(params: PyTree, kept: PyTree, chosen: PyTree, share: Float[Array, ""]) -> PyTree:
    """1 for all but the floor(share n) smallest of the n `chosen` parameters; what was pruned stays pruned."""
    # A pruned weight has magnitude 0, so it is among the smallest again whatever its update was.
    magnitudes = jax.tree.map(lambda w, k: jnp.where(k > 0, jnp.abs(w), 0.0), params, kept)
    leaves = zip(jax.tree.leaves(magnitudes), jax.tree.leaves(chosen), strict=True)
    ascending = jnp.sort(jnp.concatenate([m.ravel() for m, is_chosen in leaves if is_chosen]))
    num_pruned = jnp.floor(share * len(ascending)).astype(jnp.int32)
    threshold = jnp.where(num_pruned > 0, ascending[num_pruned], -1.0)  # below any magnitude: all are kept

    def keep(is_chosen, magnitude):
        return (magnitude >= threshold).astype(magnitude.dtype) if is_chosen else jnp.ones_like(magnitude)

    return jax.tree.map(keep, chosen, magnitudes)
