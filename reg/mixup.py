"""Mixup: training on lines between examples."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from optim.hyperparameters import hyperparameters
from optim.range import NON_NEGATIVE
from reg.applied import Applied, Scalar, where_active
from reg.examples import real_examples

MIXUP = 0x313
SMALLEST = 1e-3  # below it Beta(alpha, alpha) is 0 or 1 in float32 all the same


@hyperparameters(strength=NON_NEGATIVE)
def mixup(strength: Scalar) -> Applied:
    """x = l x_i + (1 - l) x_j, loss l loss(x, y_i) + (1 - l) loss(x, y_j), l ~ Beta(a, a), a = `strength` >= 0.

    Zhang et al. (2018), equation 1; one l for a micro-batch, as in the authors' code. Example i is mixed with
    its neighbour in the micro-batch, whose order is random. A micro-batch of one example has no neighbour:
    on a CPU nothing happens at batch sizes 1 to 4.

    Args:
      strength: a, parameter of the Beta distribution, in [0, inf).
    """

    def with_mixing(loss_fn, num_classes):
        del num_classes

        def loss(params, batch, key):
            alpha = jnp.maximum(strength, SMALLEST)
            share = jax.random.beta(jax.random.fold_in(key, MIXUP), alpha, alpha)
            x, y = real_examples("mixup", batch), batch["y"]
            mixed = share * x + (1 - share) * jnp.roll(x, 1, axis=0)
            labels = jnp.stack([y, jnp.roll(y, 1, axis=0)])
            losses = jax.vmap(lambda y: loss_fn(params, {**batch, "x": mixed, "y": y}, key))(labels)
            return share * losses[0] + (1 - share) * losses[1]

        return where_active(strength > 0, loss, loss_fn)

    return Applied(loss=with_mixing)
