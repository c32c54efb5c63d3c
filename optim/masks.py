"""Which leaves of a parameter tree a rule applies to."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def matrices(params):
    """True for leaves with at least two dimensions: biases, norms and scalars are left out.

    >>> matrices({"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)})
    {'bias': False, 'kernel': True}
    """
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) >= 2, params)
