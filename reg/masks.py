"""Which parameters a penalty, a decay or a projection acts on: one rule for all of them."""

from __future__ import annotations

import re
from collections.abc import Callable

import jax

from optim.arguments import explain_arguments
from optim.hidden import path_name
from optim.masks import matrices
from reg.applied import PyTree

Mask = Callable[[PyTree], PyTree]
UNDECAYED = re.compile(r"(^|/)(bias|scale|b)$|norm", re.IGNORECASE)


@explain_arguments
def weights(params: PyTree) -> PyTree:
    """True for weights: no biases, no scales or shifts of normalisation.

    These are the leaves with two or more dimensions that are not named so (attention's biases have two); in a
    tree without any, all that are not named bias or scale.

    >>> import jax.numpy as jnp
    >>> weights({"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)})
    {'bias': False, 'kernel': True}
    """
    kernels = matrices(params)
    if any(jax.tree.leaves(kernels)):
        return kernels
    return _by_name(params, lambda name: not UNDECAYED.search(name))


@explain_arguments
def matching(pattern: str) -> Mask:
    """Mask of the leaves whose path, such as "Dense_0/kernel", the regular expression `pattern` finds.

    Args:
      pattern: regular expression, looked for anywhere in the path.

    >>> matching("kernel$")({"kernel": 1.0, "bias": 1.0})
    {'bias': False, 'kernel': True}
    """
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


def _by_name(params: PyTree, chosen: Callable[[str], bool]) -> PyTree:
    return jax.tree.map_with_path(lambda path, _: bool(chosen(path_name(path))), params)
