"""Whether an optimizer goes downhill: its updates are added, so that a chain needs a minus."""

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


def drift(toy: Toy, hparams: PyTree) -> PyTree:
    """Where a few steps along one gradient lead, seen from where they lead along the opposite one: what does not depend
    on the gradient, such as noise and weight decay, cancels."""
    forth, back = (toy.drifted(hparams, jnp.float32(sign), toy.start) for sign in (1.0, -1.0))
    return jax.tree.map(lambda one, other: np.asarray(one, float) - np.asarray(other, float), forth, back)


def drifted(toy: Toy, hparams: PyTree, sign: jax.Array, start: PyTree) -> PyTree:
    """Parameters after a few steps with one gradient, times a sign."""
    grads = jax.tree.map(lambda leaf: (sign * jnp.sin(leaf)).astype(leaf.dtype), start)

    def step(_, state):
        updates, opt_state = toy.update(hparams, *state, grads)
        return optax.apply_updates(state[0], updates), opt_state

    return jax.lax.fori_loop(0, STEPS, step, toy.init(hparams, start))[0]
