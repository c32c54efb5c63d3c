"""Stochastic depth: residual blocks are skipped at random."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from optim.hyperparameters import hyperparameters
from optim.range import PROBABILITY
from reg.applied import Applied, Scalar
from reg.layers import intercepted

STOCHASTIC_DEPTH = 0x5D


@hyperparameters(rate=PROBABILITY)
def stochastic_depth(rate: Scalar, blocks: str = "Block") -> Applied:
    """A residual block x + f(x) becomes x with probability p = `rate` in [0, 1).

    Drawn for each example. Else it is x + f(x) / (1 - p), so that evaluation needs no change. Huang et al. (2016),
    with one p for all blocks (their p_l = l/L p grows with depth) and the inverted scale.

    Args:
      rate: p, probability, in [0, 1).
      blocks: part of the class name of the linen modules that are residual blocks. Those whose output has
        another shape than their input are kept: they have no identity to fall back to.
    """

    def with_depth(loss_fn, num_classes):
        del num_classes

        def change(batch, key):
            del batch

            def around(call, args, kwargs, context, changed):
                y = call(*args, **kwargs)
                x = args[0] if args else None
                if blocks not in type(context.module).__name__ or getattr(x, "shape", None) != y.shape:
                    return y, False
                block_key = jax.random.fold_in(jax.random.fold_in(key, STOCHASTIC_DEPTH), changed)
                draws = jax.random.uniform(block_key, (len(y),) + (1,) * (y.ndim - 1))
                # x + (y - x) is not y in floating point, hence the selection at rate 0.
                scaled = jnp.where(rate > 0, x + (y - x) / (1 - rate), y)
                return jnp.where(draws >= rate, scaled, x), True

            return around

        return intercepted(
            "stochastic_depth", f"residual module whose class name has {blocks!r}", loss_fn, change
        )

    return Applied(loss=with_depth)
