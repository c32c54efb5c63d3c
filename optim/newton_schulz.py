"""Orthogonal matrices by Newton-Schulz iterations."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optim.hyperparameters import hyperparameters
from optim.range import COUNT, STATIC, Choice, Whole

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


class Table(NamedTuple):
    """Coefficients of Newton-Schulz: "jordan", "polar_express", or rows (a, b, c) for one step each."""

    def check(self, owner: str, name: str, value: Any) -> str | Coefficients:
        """The name, or the rows as numbers; else ValueError."""
        if isinstance(value, str):
            return Choice(("jordan", "polar_express")).check(owner, name, value)
        try:
            rows = np.empty((0, 0)) if isinstance(value, jax.Array) else np.asarray(value, float)
        except (TypeError, ValueError):
            rows = np.empty((0, 0))
        if rows.ndim != 2 or rows.shape[1] != 3 or not rows.size or not np.isfinite(rows).all():
            raise ValueError(
                f"{owner}: {name} must be 'jordan', 'polar_express' or rows of three finite numbers, got "
                f"{value!r}; {STATIC}"
            )
        return tuple((a, b, c) for a, b, c in rows.tolist())


TABLE = Table()


def _polynomials(coefficients: str | Coefficients, num_steps: int) -> Coefficients:
    """(a, b, c) of p(x) = a x + b x^3 + c x^5 for each of the steps; the last row repeats."""
    if not isinstance(coefficients, str):
        table = coefficients
    elif coefficients == "jordan":
        table = JORDAN
    else:
        safe = [
            (a / POLAR_SAFETY, b / POLAR_SAFETY**3, c / POLAR_SAFETY**5) for a, b, c in POLAR_EXPRESS[:-1]
        ]
        table = (*safe, POLAR_EXPRESS[-1])
    return (*table, *table[-1:] * num_steps)[:num_steps]


@hyperparameters(coefficients=TABLE, num_steps=COUNT)
def orthogonalize(
    matrix: jax.Array, coefficients: str | Coefficients = "jordan", num_steps: int | Whole = Whole(5)
) -> jax.Array:
    """About U V^H of a matrix U S V^H [m, n], by X <- a X + (b A + c A^2) X, A = X X^H (Newton-Schulz).

    Jordan et al. (2024), in float32 at least where theirs is bfloat16, and without the 1e-7 that they add
    to the norm. Zero stays zero.

    Args:
      matrix: [m, n], real or complex.
      coefficients: "jordan"; "polar_express" (Amsel et al., 2025, algorithm 1): closer to orthogonal; or rows
        (a, b, c), one for each step, the last of which repeats, for singular values in [0, 1].
      num_steps: iterations, >= 1.

    >>> print(orthogonalize(jnp.diag(jnp.array([3.0, 4.0])), "polar_express", 8).round(3))
    [[1. 0.]
     [0. 1.]]
    """
    x = matrix.astype(jnp.promote_types(matrix.dtype, jnp.float32))
    x = x.T if matrix.shape[0] > matrix.shape[1] else x  # the smaller Gram matrix
    margin = POLAR_SAFETY if coefficients == "polar_express" else 1.0
    norm = optax.tree.norm(x)
    x = x / (margin * jnp.where(norm > 0, norm, 1.0))
    for a, b, c in _polynomials(coefficients, num_steps):
        gram = x @ x.conj().T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x
