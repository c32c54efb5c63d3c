"""DropConnect: dropout of weights instead of units."""

from __future__ import annotations

import jax

from optim.hyperparameters import hyperparameters
from optim.range import PROBABILITY
from reg.applied import Applied, Scalar
from reg.dropout import drop
from reg.masks import Mask, checked, weights

DROP_CONNECT = 0xDC


@hyperparameters(rate=PROBABILITY)
def drop_connect(rate: Scalar, mask: Mask = weights) -> Applied:
    """In a training step every weight is 0 with probability p = `rate` in [0, 1), else w / (1 - p).

    Wan et al. (2013), with three departures: one draw for a micro-batch instead of one for each example,
    biases are kept, and evaluation uses the mean weights instead of the paper's normal approximation.

    Args:
      rate: p, probability, in [0, 1).
      mask: which leaves, a function of the parameters; default their weights.
    """

    def with_mask(loss_fn, num_classes):
        del num_classes

        def loss(params, batch, key):
            leaves, structure = jax.tree.flatten(params)
            chosen = jax.tree.leaves(checked("drop_connect", mask, params))
            keys = jax.random.split(jax.random.fold_in(key, DROP_CONNECT), len(leaves))
            thinned = [
                drop(leaf, rate, k) if keep else leaf
                for leaf, keep, k in zip(leaves, chosen, keys, strict=True)
            ]
            return loss_fn(structure.unflatten(thinned), batch, key)

        return loss

    return Applied(loss=with_mask)
