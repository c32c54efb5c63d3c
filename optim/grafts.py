"""Methods whose length of step Shampoo takes: grafts (Agarwal et al., 2020)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim.adagrad import scale_by_adagrad

B2, EPS = 0.999, 1e-8  # of the second moments; those of Adam


class Graft(NamedTuple):
    """A method, and its direction for another numerator.

    Attributes:
      method: gradient -> direction; its state holds second moments of the gradient.
      along: (numerators, state) -> directions of these, with the second moments of the state.
    """

    method: optax.GradientTransformation
    along: Callable[[optax.Updates, optax.OptState], optax.Updates]


def _normalized(updates: optax.Updates) -> optax.Updates:
    """Every leaf scaled to norm 1; 0 stays 0."""

    def scale(leaf):
        norm = optax.tree.norm(leaf)
        return leaf / jnp.where(norm > 0, norm, 1.0)

    return jax.tree.map(scale, updates)


def _of_normalized(graft: Graft) -> Graft:
    def update_fn(updates, state, params=None):
        return graft.method.update(_normalized(updates), state, params)

    method = optax.GradientTransformation(graft.method.init, update_fn)
    return Graft(method, lambda numerators, state: graft.along(_normalized(numerators), state))


def _over_sum(numerators: optax.Updates, state: optax.OptState) -> optax.Updates:
    return jax.tree.map(lambda m, s: m / (jnp.sqrt(s) + EPS), numerators, state.sum_sq)


def _over_average(numerators: optax.Updates, state: optax.OptState) -> optax.Updates:
    correction = 1 - B2**state.count
    return jax.tree.map(lambda m, v: m / (jnp.sqrt(v / correction) + EPS), numerators, state.nu)


def _signs(updates: optax.Updates) -> optax.Updates:
    return jax.tree.map(jnp.sign, updates)


PLAIN = Graft(optax.identity(), lambda numerators, state: numerators)
ADAGRAD = Graft(scale_by_adagrad(EPS), _over_sum)
RMSPROP = Graft(optax.scale_by_rms(B2, EPS, eps_in_sqrt=False, bias_correction=True), _over_average)
GRAFTS = {
    "none": PLAIN,
    "sgd": PLAIN,
    "sqrt_n": Graft(
        optax.stateless(lambda updates, params: _signs(updates)), lambda numerators, state: _signs(numerators)
    ),
    "adagrad": ADAGRAD,
    "adagrad_normalized": _of_normalized(ADAGRAD),
    "rmsprop": RMSPROP,
    "rmsprop_normalized": _of_normalized(RMSPROP),
    "adam": Graft(optax.scale_by_adam(0.9, B2, EPS), _over_average),
}


def with_norm_of(target: jax.Array, update: jax.Array) -> jax.Array:
    """`update` scaled to the Frobenius norm of `target`; 0 stays 0."""
    norm = optax.tree.norm(update)
    return update * optax.tree.norm(target) / jnp.where(norm > 0, norm, 1.0)
