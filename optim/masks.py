"""Which leaves of a parameter tree a rule applies to."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from optim.arguments import explain_arguments
from optim.hidden import is_vector, path_name


@explain_arguments
def matrices(params):
    """True for leaves with at least two dimensions that are no bias or scale by name.

    Attention's biases (heads, features) are vectors all the same.

    >>> matrices({"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)})
    {'bias': False, 'kernel': True}
    """
    return jax.tree.map_with_path(
        lambda path, leaf: jnp.ndim(leaf) >= 2 and not is_vector(path_name(path)), params
    )


def where(mask: Any, transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    """The transformation on the leaves of a mask, None for all; the others pass as they are."""
    return transformation if mask is None else optax.masked(transformation, mask)


def refuse_parts(owner: str, params: optax.Params) -> None:
    """Raises ValueError where leaves are hidden: what calls the loss needs the whole tree."""
    hidden = lambda node: isinstance(node, optax.MaskedNode)
    if any(map(hidden, jax.tree.leaves(params, is_leaf=hidden))):
        raise ValueError(
            f"{owner}: sees a part of the parameters, but calls the loss, which needs all of them; take it out "
            "of optax.masked or optax.partition, and mask what follows it"
        )
