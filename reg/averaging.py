"""Averages of the parameters along the way, for evaluation; training itself is left alone."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int

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


def ema(ema: Scalar) -> Applied:
    """a <- d a + (1 - d) theta after every step, d = `ema` in [0, 1) (Tarvainen & Valpola, 2017).

    a starts at theta_0, without a correction for the start.
    """

    def init_fn(params):
        return EmaState(params, jnp.asarray(ema > 0))

    def update_fn(updates, state, params=None):
        theta = optax.apply_updates(params, updates)
        average = jax.tree.map(lambda a, t: ema * a + (1 - ema) * t, state.average, theta)
        return updates, state._replace(average=average)

    return Applied(after=optax.GradientTransformation(init_fn, update_fn))


def ema_params(state: RegularizedState, params: PyTree) -> PyTree:
    """Parameters to evaluate under `ema`."""
    return _select(state.after.active, state.after.average, params)


def swa(swa_start: Scalar, swa_every: Scalar) -> Applied:
    """Mean of the parameters after step `swa_start` and every `swa_every` >= 1 steps from there on.

    Izmailov et al. (2018), algorithm 1, at the optimizer's own rate.
    """

    def init_fn(params):
        return SwaState(params, jnp.int32(0), jnp.int32(0))

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
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
