"""Whether an optimizer goes downhill, scales by its rate once, and decays; updates are added: a chain needs a minus."""

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
ALIGNED = 0.99  # cosine of the angle to the parameters, of what grows them
LEAST = 8  # parameters, of which noise is not aligned with them by chance
ROUNDING = 1e-5  # of a step and of the opposite one, which else cancel
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


def check_decay(toy: Toy) -> None:
    """What the first step does whatever the gradient is must not make the parameters grow.

    Raises:
      StudyError: with the leaf of the parameters that grows.
    """
    hparams = {name: jnp.float32(max(toy.study.space[name])) for name in toy.hparams}
    forth, back = (toy.drifted(hparams, jnp.float32(sign), toy.start, jnp.int32(1)) for sign in (1.0, -1.0))
    leaves = zip(*map(jax.tree.leaves, (forth, back, toy.start)), strict=True)
    for (path, _), some in zip(jax.tree.leaves_with_path(toy.start), leaves, strict=True):
        one, other, start = (np.asarray(leaf, float).ravel() for leaf in some)
        pull, lengths = one + other, np.linalg.norm([one + other, one - other, start], axis=1)
        aligned = pull @ start > ALIGNED * lengths[0] * lengths[2]
        if len(start) >= LEAST and aligned and lengths[0] > ROUNDING * lengths[1]:
            raise StudyError(
                f"{toy.optimizer.name}: its updates make {name_of(path)} grow whatever the gradient is: weight decay "
                "wants the minus too; put optax.add_decayed_weights before the part of the chain that has it"
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
