"""Averages of the parameters along the way, for evaluation; training itself is left alone."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int

from optim.hyperparameters import hyperparameters
from optim.keep_dtypes import widened
from optim.range import DECAY, NON_NEGATIVE, Range
from reg.applied import Applied, PyTree, RegularizedState, Scalar


class EmaState(NamedTuple):
    """`average` of the parameters so far; not `active` at a decay of 0."""

    average: PyTree
    active: Bool[Array, ""]


class SwaState(NamedTuple):
    """`average` of the parameters of `taken` of the `count` steps."""

    average: PyTree
    taken: Int[Array, ""]
    count: Int[Array, ""]


@hyperparameters(decay=DECAY)
def ema(decay: Scalar) -> Applied:
    """a <- d a + (1 - d) theta after every step, d = `decay` in [0, 1) (Tarvainen & Valpola, 2017).

    a starts at theta_0, without a correction for the start.

    Args:
      decay: d, decay per step, in [0, 1).
    """

    def init_fn(params):
        return EmaState(_copied(params), jnp.asarray(decay > 0))

    def update_fn(updates, state, params=None):
        theta = optax.apply_updates(params, updates)
        average = jax.tree.map(lambda a, t: decay * a + (1 - decay) * t, state.average, theta)
        return updates, state._replace(average=average)

    return Applied(after=optax.GradientTransformation(init_fn, update_fn))


def ema_params(state: RegularizedState, params: PyTree) -> PyTree:
    """Parameters to evaluate under `ema`."""
    return _select(state.after.active, state.after.average, params)


@hyperparameters(swa_start=NON_NEGATIVE, swa_every=Range(low=1.0))
def swa(swa_start: Scalar, swa_every: Scalar = 10.0) -> Applied:
    """Mean of the parameters after step `swa_start` and every `swa_every` >= 1 steps from there on.

    Izmailov et al. (2018), algorithm 1, at the optimizer's own rate.

    Args:
      swa_start: step of the first one, in [0, inf).
      swa_every: steps from one to the next, in [1, inf).
    """

    def init_fn(params):
        return SwaState(_copied(params), jnp.int32(0), jnp.int32(0))

    def update_fn(updates, state, params=None):
        theta, count = optax.apply_updates(params, updates), state.count + 1
        since = count - swa_start
        take = (since >= 0) & (since % swa_every < 1)
        taken = state.taken + take
        mean = jax.tree.map(lambda a, t: jnp.where(taken > 1, a + (t - a) / taken, t), state.average, theta)
        return updates, SwaState(_select(take, mean, state.average), taken, count)

    return Applied(after=optax.GradientTransformation(init_fn, update_fn))


def swa_params(state: RegularizedState, params: PyTree) -> PyTree:
    """Parameters to evaluate under `swa`: those of the last step as long as none are averaged."""
    return _select(state.after.taken > 0, state.after.average, params)


def _select(condition: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a.astype(b.dtype), b), new, old)


def _copied(params: PyTree) -> PyTree:
    """Arrays of their own, so that parameters and state can be donated; in float32 at least, or they would stall."""
    return jax.tree.map(jnp.array, widened(params))
