"""Muon: momentum whose matrices are made orthogonal."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim.blocks import matrix_shape
from optim.from_optax import adamw
from optim.range import (
    DECAY,
    NON_NEGATIVE,
    POSITIVE,
    Scalar,
    ScalarOrSchedule,
    check_choice,
    check_count,
    hyperparameters,
)

Coefficients = tuple[tuple[float, float, float], ...]

# Jordan et al. (2024): steepest at zero; leaves singular values in [0.68, 1.13].
JORDAN: Coefficients = ((3.4445, -4.7750, 2.0315),)
# Amsel et al. (2025), algorithm 1: minimax polynomials for singular values in [1e-3, 1]; the last repeats.
POLAR_EXPRESS: Coefficients = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    (1.875, -1.25, 0.375),
)
POLAR_SAFETY = 1.01  # ibid., section 3.4: keeps rounding from pushing singular values beyond 1
SCALES = {
    "jordan": lambda rows, columns: max(1.0, columns / rows) ** 0.5,
    "moonshot": lambda rows, columns: 0.2 * max(rows, columns) ** 0.5,
}


def polynomials(coefficients: str, num_steps: int) -> Coefficients:
    """(a, b, c) of p(x) = a x + b x^3 + c x^5 for each of the steps."""
    if coefficients == "jordan":
        return JORDAN * num_steps
    safe = [(a / POLAR_SAFETY, b / POLAR_SAFETY**3, c / POLAR_SAFETY**5) for a, b, c in POLAR_EXPRESS[:-1]]
    table = (*safe, *POLAR_EXPRESS[-1:] * num_steps)
    return table[:num_steps]


def orthogonalize(matrix: jax.Array, coefficients: str = "jordan", num_steps: int = 5) -> jax.Array:
    """About U V^T of a matrix U S V^T [m, n], by X <- a X + (b A + c A^2) X, A = X X^T (Newton-Schulz).

    Jordan et al. (2024), in float32 at least where theirs is bfloat16, and without the 1e-7 that they add
    to the norm. Zero stays zero.
    """
    x = matrix.astype(jnp.promote_types(matrix.dtype, jnp.float32))
    x = x.T if matrix.shape[0] > matrix.shape[1] else x  # the smaller Gram matrix
    margin = POLAR_SAFETY if coefficients == "polar_express" else 1.0
    norm = optax.tree.norm(x)
    x = x / (margin * jnp.where(norm > 0, norm, 1.0))
    for a, b, c in polynomials(coefficients, num_steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class ScaleByMuonState(NamedTuple):
    momentum: optax.Updates  # moving average of the gradient; as params


@hyperparameters(b1=DECAY)
def scale_by_muon(
    b1: Scalar = 0.95,
    *,
    nesterov: bool = True,
    coefficients: str = "jordan",
    num_steps: int = 5,
    scale: str = "jordan",
) -> optax.GradientTransformation:
    """U = s orth(b1 M + (1 - b1) G) with M <- b1 M + (1 - b1) G (Jordan et al., 2024).

    M is an average as in the authors' code; a sum, v <- b1 v + g, gives the same U, since orth
    drops the norm. Tensors need two dimensions or more; kernels (H, W, I, O) are taken as
    matrices (H W I, O), where the authors' are (O, I H W).

    Args:
      nesterov: False orthogonalizes M itself.
      coefficients: "jordan", or "polar_express" (Amsel et al., 2025): closer to orthogonal.
      num_steps: iterations.
      scale: "jordan" is s = max(1, fan_out / fan_in)^0.5; "moonshot" s = 0.2 max(fan_out, fan_in)^0.5,
        the root mean square of an Adam step (Liu et al., 2025), so that Adam's rates carry over.
    """
    check_choice("scale_by_muon", "coefficients", coefficients, ("jordan", "polar_express"))
    check_choice("scale_by_muon", "scale", scale, SCALES)
    check_count("scale_by_muon", "num_steps", num_steps)

    def init_fn(params):
        if any(leaf.ndim < 2 for leaf in jax.tree.leaves(params)):
            raise ValueError("scale_by_muon: params must have at least 2 dimensions; muon splits a tree")
        return ScaleByMuonState(jax.tree.map(jnp.zeros_like, params))

    def step(grad, momentum):
        direction = b1 * momentum + (1 - b1) * grad if nesterov else momentum
        matrix = direction.reshape(matrix_shape(grad.shape))
        orthogonal = orthogonalize(matrix, coefficients, num_steps)
        return SCALES[scale](*matrix.shape) * orthogonal.reshape(grad.shape)

    def update_fn(updates, state, params=None):
        del params
        momentum = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.momentum, updates)
        return jax.tree.map(step, updates, momentum), ScaleByMuonState(momentum)

    return optax.GradientTransformation(init_fn, update_fn)


def times(rate: ScalarOrSchedule, factor: Scalar) -> ScalarOrSchedule:
    """A rate or a schedule, times a factor."""
    return (lambda count: factor * rate(count)) if callable(rate) else factor * rate


NOT_HIDDEN = ("embed", "head", "readout", "output", "logits")


def is_hidden_matrix(path: str, leaf: jax.Array) -> bool:
    """Two dimensions or more, and no part of the path names an embedding or an output layer."""
    return leaf.ndim >= 2 and not any(name in path.lower() for name in NOT_HIDDEN)


@hyperparameters(
    learning_rate=POSITIVE,
    b1=DECAY,
    weight_decay=NON_NEGATIVE,
    adamw_ratio=POSITIVE,
    adamw_b1=DECAY,
    adamw_b2=DECAY,
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
    coefficients: str = "jordan",
    num_steps: int = 5,
    scale: str = "jordan",
    hidden: Callable[[str, jax.Array], bool] = is_hidden_matrix,
) -> optax.GradientTransformation:
    """Hidden matrices by `scale_by_muon`, all other parameters by AdamW (Jordan et al., 2024).

    Both decay by theta <- theta - rate (u + wd theta). The rate of AdamW is `adamw_ratio` times
    lr. The authors' example (recalled) has 3e-4 beside 0.02; with scale "moonshot" 1 is right.

    Args:
      hidden: (path, leaf) -> whether Muon trains it, the path as in "Dense_0/kernel". The default
        takes tensors of order 2 and more, except where the path says embedding or output.
    """
    muon_chain = optax.chain(
        scale_by_muon(b1, nesterov=nesterov, coefficients=coefficients, num_steps=num_steps, scale=scale),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    adamw_rate = times(learning_rate, adamw_ratio)
    rest = adamw(adamw_rate, adamw_b1, adamw_b2, weight_decay=weight_decay, decay="rate")

    def labels(params):
        def label(path, leaf):
            return "muon" if hidden(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) else "adamw"

        return jax.tree_util.tree_map_with_path(label, params)

    return optax.partition({"muon": muon_chain, "adamw": rest}, labels)
