"""Which leaves of a parameter tree a rule applies to."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from optim.arguments import explain_arguments
from optim.hidden import is_vector, path_name

SHOWN = 100  # characters of a mask that is none


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


def leaves_of(owner: str, name: str, mask: Any, params: optax.Params) -> Any:
    """The tree of booleans that a mask, or what it gives for the parameters, is; ValueError where it is none.

    >>> leaves_of("lars", "mask", lambda params: {"w": 3.0}, {"w": 1.0})
    Traceback (most recent call last):
    ValueError: lars: mask must give a tree of booleans like the parameters, or like its upper part; got {'w': 3.0}
    """
    tree = mask(params) if callable(mask) else mask
    try:
        jax.tree.map(lambda keep, below: None, tree, params)
        valid = all(
            jnp.ndim(keep) == 0 and jnp.issubdtype(jnp.result_type(keep), jnp.bool_)
            for keep in jax.tree.leaves(tree)
        )
    except (ValueError, TypeError):
        valid = False
    if not valid:
        found = " ".join(repr(tree).split())[:SHOWN]
        raise ValueError(
            f"{owner}: {name} must give a tree of booleans like the parameters, or like its upper part; got {found}"
        )
    return tree


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
