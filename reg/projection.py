"""Constraints on the weights, kept by projection after every step."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from optim.hyperparameters import hyperparameters
from optim.range import POSITIVE
from reg.applied import Applied, PyTree, Scalar, of_result
from reg.masks import Mask, checked, on_masked, weights
from reg.proximal import unit_norms

# A bound in float32 that no weight reaches: the constraint is off.
UNBOUNDED = 1e30


@hyperparameters(bound=POSITIVE)
def max_norm(bound: Scalar, mask: Mask = weights) -> Applied:
    """The incoming weights of every unit have norm <= c, c = `bound` > 0 (Srebro & Shraibman, 2005).

    In the use of Srivastava et al. (2014): w <- w min(1, c / |w|) after each step.

    Args:
      bound: c, norm, in the units of the weights, in (0, inf).
      mask: which leaves, a function of the parameters; default their weights.
    """

    def clip(w):
        norm = unit_norms(w)
        return jnp.where(norm > bound, w * (bound / jnp.where(norm > 0, norm, 1.0)), w)

    return Applied(after=of_result(lambda moved: on_masked("max_norm", mask, clip, moved), bound < UNBOUNDED))


@hyperparameters(bound=POSITIVE)
def l2_ball(bound: Scalar, mask: Mask = weights) -> Applied:
    """All weights together have |theta|_2 <= tau, tau = `bound` > 0: the constrained twin of `l2`.

    Args:
      bound: tau, norm, in the units of the weights, in (0, inf).
      mask: which leaves, a function of the parameters; default their weights.
    """
    return _whole("l2_ball", bound, mask, optax.projections.projection_l2_ball)


@hyperparameters(bound=POSITIVE)
def l1_ball(bound: Scalar, mask: Mask = weights) -> Applied:
    """All weights together have |theta|_1 <= tau, tau = `bound` > 0: the constrained twin of `l1`.

    Args:
      bound: tau, norm, in the units of the weights, in (0, inf).
      mask: which leaves, a function of the parameters; default their weights.
    """
    return _whole("l1_ball", bound, mask, optax.projections.projection_l1_ball)


def _whole(owner: str, radius: Scalar, mask: Mask, project: Callable[[PyTree, Scalar], PyTree]) -> Applied:
    """Projection of the masked leaves as one vector."""

    def project_masked(moved):
        leaves, structure = jax.tree.flatten(moved)
        chosen = jax.tree.leaves(checked(owner, mask, moved))
        inside = iter(project([leaf for leaf, keep in zip(leaves, chosen, strict=True) if keep], radius))
        return structure.unflatten(
            [next(inside) if keep else leaf for leaf, keep in zip(leaves, chosen, strict=True)]
        )

    return Applied(after=of_result(project_masked, radius < UNBOUNDED))
