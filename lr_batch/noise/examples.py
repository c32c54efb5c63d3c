"""Examples of which gradients are taken for their noise: single ones, or the groups of batch statistics.

A model that normalises examples by their batch gives no example a gradient of its own, but each group of g examples has
one, and a batch's gradient is their mean. So groups are drawn in the place of examples: with Sigma_g the covariance of a
group's gradient, the noise of a batch of B examples is g Sigma_g / B, and the scale is g tr(Sigma_g) / |G|^2 examples.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lr_batch.lanes.batch_statistics import of_groups
from lr_batch.problem.weights import relative_losses
from lr_batch.problem.workload import Key, PyTree, Workload, evenly_spaced, num_examples


def batch_losses(workload: Workload) -> Callable[[PyTree, PyTree, Key], Float[Array, " m"]]:
    """Training losses of the examples of a batch of whole groups, as `relative_losses` counts them."""
    return relative_losses(workload._replace(loss=of_groups(workload)))


def sample(workload: Workload, most: int) -> PyTree:
    """At most so many training examples in whole groups, evenly spaced; drawn once for all where they meet in groups,
    since neighbours of a file that is sorted must not make one."""
    total, group = num_examples(workload.train_data), workload.group
    rows = evenly_spaced(total, most)
    if group > 1:
        rows = np.random.RandomState(0).permutation(total)[: max(min(total, most) // group, 1) * group]
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[rows]), workload.train_data)
