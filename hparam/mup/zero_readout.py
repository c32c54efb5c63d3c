"""Output weights that start at zero, so that no width starts with a guess."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from hparam.mup.fan_growth import Fans, FansRule, checked_fans, default_fans
from lr_batch import Workload
from optim.arguments import explain_arguments


@explain_arguments
def zero_readout(workload: Workload, other_width: Workload, fans: FansRule = default_fans) -> Workload:
    """`workload` with output weights that start at zero (Yang et al., 2022, appendix D.2).

    Random output weights give a narrow network a random first guess, which falls like width^(-1/2) under muP
    and which training has to undo first. Without it the best settings of several widths match more closely.
    For muP both networks need it: the narrow one, on which settings are tuned, and the wide one. The first
    step then moves the output weights alone, since no gradient passes through them.

    Args:
      workload: the network.
      other_width: the same at another width; output weights are those of which the fan-in alone differs.
      fans: as for `mup`.

    Raises:
      ValueError: if nothing differs like this.
    """
    growth = checked_fans("zero_readout", workload, other_width, fans)
    is_leaf = lambda node: isinstance(node, Fans)
    if all(fan == Fans(1.0, 1.0) for fan in jax.tree.leaves(growth, is_leaf=is_leaf)):
        raise ValueError(
            "zero_readout: no output weights are seen between equal widths; give other_width another width"
        )

    def init(key):
        zeroed = lambda fan, leaf: jnp.zeros_like(leaf) if fan.is_readout else leaf
        return jax.tree.map(zeroed, growth, workload.init(key), is_leaf=is_leaf)

    return workload._replace(init=init)
