"""Weight decay, decoupled from the gradient."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from optim.hyperparameters import hyperparameters
from optim.range import NON_NEGATIVE, POSITIVE
from reg.applied import Applied, Scalar
from reg.masks import Mask, on_masked, weights


@hyperparameters(strength=NON_NEGATIVE, learning_rate=POSITIVE)
def weight_decay(strength: Scalar, learning_rate: Scalar, mask: Mask = weights) -> Applied:
    """theta <- theta + u - lr wd theta, u the optimizer's update (Loshchilov & Hutter, 2019).

    wd = `strength` >= 0, multiplied by the rate: the convention of PyTorch and Optax.

    Args:
      strength: wd, share of a weight that a step takes away, in units of the rate, in [0, inf).
      learning_rate: lr of the optimizer, in (0, inf).
      mask: which leaves, a function of the parameters; default their weights.
    """

    def update_fn(updates, state, params=None):
        # The selection keeps a strength of 0 exact: nothing is added that could round.
        def decayed(u, w):
            return jnp.where(strength > 0, u - learning_rate * strength * w, u)

        return on_masked("weight_decay", mask, decayed, updates, params), state

    return Applied(after=optax.GradientTransformation(lambda params: optax.EmptyState(), update_fn))
