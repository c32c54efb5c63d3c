"""Muon: momentum whose matrices are made orthogonal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import optax

from optim.adam import adamw
from optim.blocks import gathered, scattered_as
from optim.hidden import input_axes, is_hidden_matrix, path_name
from optim.hyperparameters import hyperparameters
from optim.newton_schulz import TABLE, Coefficients, orthogonalize
from optim.range import (
    COUNT,
    DECAY,
    FLOAT_TYPE,
    FUNCTION,
    NON_NEGATIVE,
    POSITIVE,
    Choice,
    DTypeLike,
    Scalar,
    ScalarOrSchedule,
    Whole,
)

SCALES = {
    "jordan": lambda rows, columns: max(1.0, columns / rows) ** 0.5,
    "moonshot": lambda rows, columns: 0.2 * max(rows, columns) ** 0.5,
}


class ScaleByMuonState(NamedTuple):
    momentum: optax.Updates  # moving average of the gradient; as params


@hyperparameters(b1=DECAY, coefficients=TABLE, num_steps=COUNT, scale=Choice(SCALES), mu_dtype=FLOAT_TYPE)
def scale_by_muon(
    b1: Scalar = 0.95,
    *,
    nesterov: bool = True,
    coefficients: str | Coefficients = "jordan",
    num_steps: int | Whole = Whole(5),
    scale: str = "jordan",
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """U = s orth(b1 M + (1 - b1) G) with M <- b1 M + (1 - b1) G (Jordan et al., 2024).

    M is an average as in the authors' code; a sum, v <- b1 v + g, gives the same U, since orth
    drops the norm. Tensors need two dimensions or more; kernels (H, W, I, O) are taken as
    matrices (H W I, O), where the authors' are (O, I H W); query, key and value of attention, (I, heads,
    features), as matrices (I, heads features).

    Args:
      b1: decay of M, in [0, 1).
      nesterov: False orthogonalizes M itself.
      coefficients: "jordan", "polar_express" or rows (a, b, c), as in `orthogonalize`.
      num_steps: iterations, >= 1.
      scale: "jordan" is s = max(1, fan_out / fan_in)^0.5; "moonshot" s = 0.2 max(fan_out, fan_in)^0.5,
        the root mean square of an Adam step (Liu et al., 2025), so that Adam's rates carry over.
      mu_dtype: data type in which M is kept; default that of the parameters, float32 at least.

    Raises:
      ValueError: from `init`, where a parameter has less than two dimensions.

    >>> import jax.numpy as jnp
    >>> tx = scale_by_muon(coefficients="polar_express", num_steps=8)
    >>> grads = {"kernel": jnp.diag(jnp.array([3.0, 4.0]))}
    >>> print(tx.update(grads, tx.init(grads))[0]["kernel"].round(3))
    [[1. 0.]
     [0. 1.]]
    """

    def init_fn(params):
        if any(leaf.ndim < 2 for leaf in jax.tree.leaves(params)):
            raise ValueError("scale_by_muon: params must have at least 2 dimensions; muon splits a tree")
        return ScaleByMuonState(optax.tree.zeros_like(params, dtype=mu_dtype))

    def step(path, grad, momentum):
        if not grad.size:
            return grad
        direction = b1 * momentum + (1 - b1) * grad if nesterov else momentum
        inputs = input_axes(path_name(path), grad)
        matrix = gathered(direction).reshape(math.prod(grad.shape[:inputs]), math.prod(grad.shape[inputs:]))
        orthogonal = orthogonalize(matrix, coefficients, num_steps)
        return SCALES[scale](*matrix.shape) * scattered_as(orthogonal.reshape(grad.shape), grad)

    def update_fn(updates, state, params=None):
        del params
        momentum = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.momentum, updates)
        return jax.tree.map_with_path(step, updates, momentum), ScaleByMuonState(momentum)

    return optax.GradientTransformation(init_fn, update_fn)


@hyperparameters(
    learning_rate=POSITIVE,
    b1=DECAY,
    weight_decay=NON_NEGATIVE,
    adamw_ratio=POSITIVE,
    adamw_b1=DECAY,
    adamw_b2=DECAY,
    coefficients=TABLE,
    num_steps=COUNT,
    scale=Choice(SCALES),
    hidden=FUNCTION,
    mu_dtype=FLOAT_TYPE,
)
def muon(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.95,
    weight_decay: Scalar = 0.0,
    adamw_ratio: Scalar = 0.1,
    adamw_b1: Scalar = 0.9,
    adamw_b2: Scalar = 0.95,
    *,
    nesterov: bool = True,
    coefficients: str | Coefficients = "jordan",
    num_steps: int | Whole = Whole(5),
    scale: str = "jordan",
    hidden: Callable[[str, jax.Array], bool] | None = None,
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """Hidden matrices by `scale_by_muon`, all other parameters by AdamW (Jordan et al., 2024).

    Both decay by theta <- theta - rate (u + wd theta). The rate of AdamW is `adamw_ratio` times
    lr. The authors' example has 3e-4 beside 0.02; with scale "moonshot" 1 is right.

    Args:
      learning_rate: lr, the size of a step's singular values for square matrices, in (0, inf); a number or a
        schedule.
      b1: decay of Muon's momentum, in [0, 1).
      weight_decay: wd, in [0, inf).
      adamw_ratio: AdamW's rate in units of lr, in (0, inf).
      adamw_b1: decay of AdamW's first moment, in [0, 1).
      adamw_b2: decay of AdamW's second moment, in [0, 1).
      nesterov, coefficients, num_steps, scale: as in `scale_by_muon`.
      hidden: (path, leaf) -> whether Muon trains it, the path as in "Dense_0/kernel"; None for
        `is_hidden_matrix`.
      mu_dtype: data type in which both first moments are kept; default that of the parameters, float32 at least.

    >>> import jax.numpy as jnp
    >>> tx = muon(0.1, coefficients="polar_express", num_steps=8)
    >>> grads = {"kernel": jnp.diag(jnp.array([3.0, 4.0])), "bias": jnp.ones(1)}
    >>> updates, _ = tx.update(grads, tx.init(grads), grads)
    >>> print(updates["kernel"].round(3).diagonal(), updates["bias"].round(3))
    [-0.1 -0.1] [-0.01]
    """
    muon_chain = optax.chain(
        scale_by_muon(
            b1,
            nesterov=nesterov,
            coefficients=coefficients,
            num_steps=num_steps,
            scale=scale,
            mu_dtype=mu_dtype,
        ),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    adamw_rate = _times(learning_rate, adamw_ratio)
    rest = adamw(adamw_rate, adamw_b1, adamw_b2, weight_decay=weight_decay, decay="rate", mu_dtype=mu_dtype)
    is_hidden = is_hidden_matrix if hidden is None else hidden

    def labels(params):
        return jax.tree.map_with_path(
            lambda path, leaf: "muon" if is_hidden(path_name(path), leaf) else "adamw", params
        )

    return optax.partition({"muon": muon_chain, "adamw": rest}, labels)


def _times(rate: ScalarOrSchedule, factor: Scalar) -> ScalarOrSchedule:
    """A rate or a schedule, times a factor."""
    return (lambda count: factor * rate(count)) if callable(rate) else factor * rate
