"""How a network's own initializers scale with its width."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hparam.mup.fan_growth import Fans, shapes
from lr_batch import Workload

PyTree = Any

NUM_KEYS = 8  # initializations that are measured
SAMPLING_ERRORS = 4.0  # a measured ratio this close to the expected one is taken for it


class Spread(NamedTuple):
    """Standard deviation of a parameter over `count` initial values."""

    std: float
    count: int


def std_ratios(fans: PyTree, before: PyTree, after: PyTree) -> PyTree:
    """Initial standard deviation of the target over that of the base, from the `initial_stds` of both.

    Exactly fan_in^(-1/2), the law of He and LeCun, where it is that up to sampling error, else as measured.
    """
    is_leaf = lambda node: isinstance(node, Fans)
    return jax.tree.map(std_ratio, fans, before, after, is_leaf=is_leaf)


def std_ratio(fans: Fans, before: Spread, after: Spread) -> float:
    """The ratio of one parameter; constants have no scale to correct."""
    expected = fans.fan_in**-0.5
    if not (before.std > 0 and after.std > 0):
        return expected
    measured = after.std / before.std
    error = np.sqrt(0.5 / before.count + 0.5 / after.count)  # of the log of two normal samples' ratio
    return expected if abs(np.log(measured / expected)) < SAMPLING_ERRORS * error else measured


def initial_stds(workload: Workload) -> PyTree:
    """`Spread` of every parameter, over its entries and a few keys."""
    keys = jax.random.split(jax.random.key(0), NUM_KEYS)
    variance = lambda key: jax.tree.map(jnp.var, workload.init(key))
    variances = jax.jit(lambda keys: jax.lax.map(variance, keys))(keys)
    spread = lambda var, shape: Spread(float(jnp.sqrt(var.mean())), NUM_KEYS * shape.size)
    return jax.tree.map(spread, variances, shapes(workload))
