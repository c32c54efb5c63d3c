"""How well a curve that is fitted to small batch sizes predicts larger ones, which were measured too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from lr_batch.analysis.quadratic_curve import MIN_POINTS, curve, fit_quadratic
from lr_batch.analysis.scaling_curve import Points, fit_curve, log_steps
from optim.arguments import explain_arguments

FACTORS = (4, 16)  # how far beyond the largest batch size of the fit


class HeldOutSize(NamedTuple):
    """Steps predicted at `batch_size`, `factor` times the largest batch size of the fit, over those measured: by the
    noisy quadratic and, beside it, by S_min (1 + B_crit / B)."""

    fitted_until: int
    batch_size: int
    factor: int
    quadratic: float
    hyperbola: float


@explain_arguments
def held_out_sizes(
    batch_size: Sequence[int] | Num[np.ndarray, " n"],
    steps: Sequence[float] | Float[np.ndarray, " n"],
    relative_error: Sequence[float] | Float[np.ndarray, " n"],
) -> tuple[HeldOutSize, ...]:
    """Fits to the smallest batch sizes, from 3 on, and what each says of 4 and of 16 times its largest.

    Args:
      batch_size: measured ones, ascending.
      steps: to the goal, > 0.
      relative_error: standard error of each over itself, > 0.

    Raises:
      ValueError: they are not as many, or not ascending or not positive.
    """
    log_b, y, se = _measured(batch_size, steps, relative_error)
    found = []
    for last in range(MIN_POINTS - 1, len(y) - 1):
        part = slice(0, last + 1)
        rows = np.flatnonzero(np.isin(np.round(np.exp(log_b - log_b[last])).astype(int), FACTORS))
        if not len(rows):
            continue
        quadratic = curve(fit_quadratic(log_b[part], y[None, part], se[part]), log_b[rows])[0]
        points = Points(log_b[part], se[part], np.zeros(last + 1, bool))
        hyperbola = log_steps(fit_curve(points, y[None, part], 1.0), log_b[rows])[0]
        sizes = np.round(np.exp(log_b)).astype(int)
        found += [
            HeldOutSize(
                int(sizes[last]),
                int(sizes[row]),
                round(sizes[row] / sizes[last]),
                float(np.exp(one - y[row])),
                float(np.exp(other - y[row])),
            )
            for row, one, other in zip(rows, quadratic, hyperbola, strict=True)
        ]
    return tuple(found)


def _measured(*lists: Sequence[float] | Num[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], ...]:
    """Logarithms of batch sizes and of steps, and relative errors."""
    sizes, steps, errors = (np.asarray(one, float) for one in lists)
    if not sizes.shape == steps.shape == errors.shape == (len(sizes),):
        counts = ", ".join(str(one.size) for one in (sizes, steps, errors))
        raise ValueError(
            "held_out_sizes: batch_size, steps and relative_error must be lists of the same length, got "
            + counts
        )
    if not all(np.isfinite(one).all() and (one > 0).all() for one in (sizes, steps, errors)):
        raise ValueError("held_out_sizes: batch sizes, steps and relative errors must be finite and > 0")
    if not (np.diff(sizes) > 0).all():
        raise ValueError(f"held_out_sizes: batch sizes must ascend, got {sizes.tolist()}")
    return np.log(sizes), np.log(steps), errors
