"""Causal attention."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def causal_attention(
    query: Float[Array, "m length heads size"],
    key: Float[Array, "m length heads size"],
    value: Float[Array, "m length heads size"],
    divisor: float | np.floating,
) -> Float[Array, "m length width"]:
    """softmax(query key^T / divisor) value of each head, side by side; no position looks ahead."""
    m, length, _, _ = query.shape
    scores = jnp.einsum("mqhd,mkhd->mhqk", query, key) / divisor
    weights = jax.nn.softmax(jnp.where(np.tri(length, dtype=bool)[None, None], scores, -1e9))
    return jnp.einsum("mhqk,mkhd->mqhd", weights, value).reshape(m, length, -1)
