"""Dropout, without the model knowing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from optim.hyperparameters import hyperparameters
from optim.range import PROBABILITY
from reg.applied import Applied, Key, Scalar
from reg.layers import has_weights, intercepted

DROPOUT = 0x0D0  # sets these draws apart from those of a model that uses the step's key itself


@hyperparameters(rate=PROBABILITY)
def dropout(rate: Scalar) -> Applied:
    """Inputs of every layer with a kernel but the first are zeroed with probability p = `rate` in [0, 1).

    Inverted: the others are divided by 1 - p, so that evaluation needs no change (Srivastava et al., 2014).
    These are the hidden units of an MLP or CNN; the data itself is kept. The draws belong to (seed, step,
    layer): lanes with different p share them, and what a lower p drops a higher one drops too.

    Args:
      rate: p, probability, in [0, 1).
    """

    def with_dropout(loss_fn, num_classes):
        del num_classes

        def change(batch, key):
            del batch
            seen = []  # layers with a kernel so far

            def around(call, args, kwargs, context, changed):
                if not has_weights(context.module):
                    return call(*args, **kwargs), False
                seen.append(context.module)
                if len(seen) == 1:
                    return call(*args, **kwargs), False
                x = drop(args[0], rate, jax.random.fold_in(jax.random.fold_in(key, DROPOUT), changed))
                return call(x, *args[1:], **kwargs), True

            return around

        return intercepted("dropout", "hidden layer with a kernel", loss_fn, change)

    return Applied(loss=with_dropout)


def drop(x: Float[Array, "..."], rate: Scalar, key: Key) -> Float[Array, "..."]:
    """Each element becomes 0 with probability `rate` in [0, 1), else x / (1 - rate)."""
    kept = jax.random.uniform(key, x.shape) >= rate
    return jnp.where(kept, x / (1 - rate), 0.0)
