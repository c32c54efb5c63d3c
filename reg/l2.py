"""The squared norm of the weights, added to the loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from optim.hyperparameters import hyperparameters
from optim.range import NON_NEGATIVE
from reg.applied import Applied, Scalar
from reg.masks import Mask, checked, weights


@hyperparameters(strength=NON_NEGATIVE)
def l2(strength: Scalar, mask: Mask = weights) -> Applied:
    """L + lambda |theta|^2, lambda = `strength` >= 0 (Hoerl & Kennard, 1970; Krogh & Hertz, 1992).

    For SGD the step is theta <- (1 - 2 lr lambda) theta - lr grad L: the same as `weight_decay` = 2 lambda.
    Adam divides the penalty's gradient by its own scale, so there the two differ (Loshchilov & Hutter, 2019).

    Args:
      strength: lambda, penalty per squared weight, in [0, inf).
      mask: which leaves, a function of the parameters; default their weights.
    """

    def with_penalty(loss_fn, num_classes):
        del num_classes

        def loss(params, batch, key):
            chosen = jax.tree.leaves(checked("l2", mask, params))
            leaves = [leaf for leaf, keep in zip(jax.tree.leaves(params), chosen, strict=True) if keep]
            return loss_fn(params, batch, key) + strength * sum(jnp.vdot(leaf, leaf).real for leaf in leaves)

        return loss

    return Applied(loss=with_penalty)
