"""The examples of a batch, for methods that compute with them."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from reg.applied import PyTree


def real_examples(owner: str, batch: PyTree) -> Float[Array, "m ..."]:
    """`batch["x"]`.

    Raises:
      ValueError: if there is none, or it holds whole numbers, such as words: there is nothing between two words.
    """
    x = batch.get("x") if isinstance(batch, dict) else None
    if x is None or not jnp.issubdtype(x.dtype, jnp.floating):
        found = "other data" if x is None else x.dtype
        raise ValueError(f"{owner}: needs examples x of real numbers, got {found}")
    return x
