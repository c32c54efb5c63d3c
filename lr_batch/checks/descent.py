"""Whether an optimizer goes downhill, and by its rate once: updates are added, so that a chain needs a minus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lr_batch.checks.probe import name_of
from lr_batch.errors import StudyError
from lr_batch.problem.workload import PyTree

if TYPE_CHECKING:
    from lr_batch.checks.optimizer import Toy

STEPS = 16  # in one direction
SQUARE = 3.5  # times the first step that half the rate makes: a rate acts as 2, its square as 4


def check_descent(toy: Toy) -> None:
    """A few steps along one gradient must not lead uphill.

    Raises:
      StudyError: with the leaf of the parameters where they do.
    """
    moved = drift(toy, {name: jnp.float32(min(toy.study.space[name])) for name in toy.hparams})
    for (path, start), move in zip(jax.tree.leaves_with_path(toy.start), jax.tree.leaves(moved), strict=True):
        if np.sum(move * np.sin(np.asarray(start, float))) > 0:
            raise StudyError(
                f"{toy.optimizer.name}: its updates of {name_of(path)} go uphill, as they are added: end the chain in "
                "optax.scale_by_learning_rate, which has the minus; optax.masked and optax.identity pass gradients on as "
                "they are; what is not trained wants optax.multi_transform and optax.set_to_zero"
            )


def check_rate_once(toy: Toy, rate: str) -> None:
    """The first step must not grow with the square of the rate, as it does where two parts of a chain scale by it.

    Raises:
      StudyError: with the leaf of the parameters where it does.
    """
    first = {name: jnp.float32(toy.study.space[name][0]) for name in toy.hparams}
    highest = max(toy.study.space[rate])
    half, whole = (drift(toy, first | {rate: jnp.float32(value)}, 1) for value in (highest / 2, highest))
    for (path, a), b in zip(jax.tree.leaves_with_path(half), jax.tree.leaves(whole), strict=True):
        if 0 < SQUARE * np.max(np.abs(a), initial=0) < np.max(np.abs(b), initial=0) < np.inf:
            raise StudyError(
                f"{toy.optimizer.name}: the first step of {name_of(path)} grows with the square of hparams[{rate!r}]: "
                "let one part of the chain scale by it, and no other"
            )


def drift(toy: Toy, hparams: PyTree, steps: int = STEPS) -> PyTree:
    """Where a few steps along one gradient lead, seen from where they lead along the opposite one: what does not depend
    on the gradient, such as noise and weight decay, cancels."""
    forth, back = (
        toy.drifted(hparams, jnp.float32(sign), toy.start, jnp.int32(steps)) for sign in (1.0, -1.0)
    )
    return jax.tree.map(lambda one, other: np.asarray(one, float) - np.asarray(other, float), forth, back)


def drifted(toy: Toy, hparams: PyTree, sign: jax.Array, start: PyTree, steps: jax.Array) -> PyTree:
    """The sum of the updates of a few steps with one gradient, times a sign."""
    grads = jax.tree.map(lambda leaf: (sign * jnp.sin(leaf)).astype(leaf.dtype), start)

    def step(_, state):
        params, opt_state, total = state
        updates, opt_state = toy.update(hparams, params, opt_state, grads)
        total = jax.tree.map(lambda whole, part: whole + part.astype(whole.dtype), total, updates)
        return optax.apply_updates(params, updates), opt_state, total

    total = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), start)
    return jax.lax.fori_loop(0, steps, step, (*toy.init(hparams, start), total))[2]
