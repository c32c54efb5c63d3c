"""Second moments of gradients, real also where the gradients are complex."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def squares(leaf: jax.Array) -> jax.Array:
    """|g|^2 of every entry.

    >>> print(squares(jnp.array([3.0 + 4.0j])))
    [25.]
    """
    return leaf.real**2 + leaf.imag**2 if jnp.iscomplexobj(leaf) else leaf**2


def zeros_like_squares(params: optax.Params) -> optax.Updates:
    """Zeros of the shapes of the parameters, of their real data types."""
    return jax.tree.map(lambda leaf: jnp.zeros_like(leaf.real), params)


def refuse_complex(owner: str, params: optax.Params) -> None:
    """Raises ValueError where a parameter is complex, with what to do about it."""
    for path, leaf in jax.tree.leaves_with_path(params):
        if jnp.iscomplexobj(leaf):
            name = jax.tree_util.keystr(path, simple=True, separator="/") or "the parameter"
            raise ValueError(
                f"{owner}: parameters must be real, {name} is {leaf.dtype}; "
                "optax.contrib.split_real_and_imaginary makes two real ones of it"
            )
