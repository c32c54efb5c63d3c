"""Which parameters a penalty, a decay or a projection acts on: one rule for all of them."""

from __future__ import annotations

import re
from collections.abc import Callable

import jax
import jax.numpy as jnp

from reg.applied import PyTree

Mask = Callable[[PyTree], PyTree]
UNDECAYED = re.compile(r"(^|/)(bias|scale|b)$|norm", re.IGNORECASE)


def weights(params: PyTree) -> PyTree:
    """True for weights: no biases, no scales or shifts of normalisation.

    These are the leaves with two or more dimensions; in a tree without any, all that are not named bias or
    scale.

    >>> weights({"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)})
    {'bias': False, 'kernel': True}
    """
    matrices = jax.tree.map(lambda leaf: jnp.ndim(leaf) >= 2, params)
    if any(jax.tree.leaves(matrices)):
        return matrices
    return _by_name(params, lambda name: not UNDECAYED.search(name))


def matching(pattern: str) -> Mask:
    """Mask of the leaves whose path, such as "Dense_0/kernel", the regular expression `pattern` finds."""
    return lambda params: _by_name(params, lambda name: re.search(pattern, name) is not None)


def checked(owner: str, mask: Mask, params: PyTree) -> PyTree:
    """The mask of `params`.

    Raises:
      ValueError: if it matches nothing, with the paths that there are.
    """
    chosen = mask(params)
    if not any(jax.tree.leaves(chosen)):
        paths = ", ".join(path_name(path) for path, _ in jax.tree.leaves_with_path(params))
        raise ValueError(f"{owner}: the mask matches no parameter (there are: {paths or 'none'})")
    return chosen


def on_masked(owner: str, mask: Mask, function: Callable, params: PyTree, *trees: PyTree) -> PyTree:
    """`function` of every masked leaf and its fellows in `trees`; the other leaves of `params` stay."""
    chosen = checked(owner, mask, params)
    return jax.tree.map(
        lambda keep, leaf, *rest: function(leaf, *rest) if keep else leaf, chosen, params, *trees
    )


def path_name(path: tuple) -> str:
    """The names along a path of a tree, joined by slashes."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _by_name(params: PyTree, chosen: Callable[[str], bool]) -> PyTree:
    return jax.tree.map_with_path(lambda path, _: bool(chosen(path_name(path))), params)
