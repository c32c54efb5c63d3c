"""Ridge regression in closed form: the one regularized problem whose answer is known."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from optim.hyperparameters import hyperparameters
from optim.range import NON_NEGATIVE
from reg.applied import Scalar


@hyperparameters(l2=NON_NEGATIVE)
def ridge(x: Float[Array, "n p"], y: Float[Array, " n"], l2: Scalar) -> Float[Array, " p"]:
    """argmin |X theta - y|^2 / n + lambda |theta|^2 = (X'X + n lambda I)^-1 X'y.

    Hoerl & Kennard (1970), equation 2.1. lambda = `l2` >= 0, as in `reg.l2`. Without it, and with p > n or
    dependent columns, X'X has no inverse and the answer is not finite or meaningless; with it there is always
    exactly one.

    Raises:
      ValueError: if lambda is negative.
    """
    n, p = x.shape
    return jnp.linalg.solve(x.T @ x + n * l2 * jnp.eye(p, dtype=x.dtype), x.T @ y)


def condition_number(x: Float[Array, "n p"], l2: Scalar) -> Float[Array, ""]:
    """(s_1^2 + n lambda) / (s_p^2 + n lambda), s the singular values of X (0 where p > n).

    Infinite if singular. It decides how many steps gradient descent takes, and how many digits a solver loses.
    """
    n, p = x.shape
    largest = jnp.linalg.svd(x, compute_uv=False)
    smallest = largest[-1] ** 2 if p <= n else jnp.zeros((), x.dtype)
    return (largest[0] ** 2 + n * l2) / (smallest + n * l2)
