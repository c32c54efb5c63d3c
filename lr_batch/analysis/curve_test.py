"""Is this the curve? Whether S_min (1 + (B_crit / B)^a)^(1/a) describes the points.

Residuals r are of log steps, in units of the errors of the points, to which `FORM` is added: a form that is off by
so little still serves. Three things are looked at, since each sees faults that the others miss:

    scatter   sqrt(sum r^2 / (n - 3)), Birge's ratio (Birge, 1932)
    outlier   the largest |r| / sqrt(1 - leverage)
    bend      what two more smooth terms in log B would take off sum r^2: the size of long runs of one sign

and, beside the points, seeds far from the others and steps too few to be resolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.special at its first use

from lr_batch.analysis.optimum import Optimum
from lr_batch.analysis.scaling_curve import Points, jacobian, log_steps

FORM = 0.03  # log steps
# Thresholds: good curves exceed them in at most 5 % of 40 draws, faults in 90 % or more (tests/lr_batch/
# test_curve_test.py; `python -m runs.recipes.coverage` counts real studies that do).
SCATTER_MAX = 1.35
OUTLIER_MAX = 2.7
BEND_MAX = 6.5
SEED_MAX = 5.0  # robust standard deviations
SEED_FACTOR = 1.8  # a seed within this factor of the others never counts as far
FEW_STEPS = 4.0
MAD_TO_SD = 1.4826  # of normal values


class CurveTest(NamedTuple):
    """`scatter`, `outlier` (at batch size `outlier_at`) and `bend` as in this module; `fits` says whether the form
    holds, `notes` what is wrong, with the form or with a seed."""

    scatter: float
    outlier: float
    outlier_at: int
    bend: float
    fits: bool
    notes: tuple[str, ...]


def test_curve(
    points: Points,
    y: np.ndarray,
    parameters: np.ndarray,
    reached: Sequence[Optimum],
    sharpness: float | None = None,
) -> CurveTest:
    """Compare log steps `y` of the `points` with the fitted curve.

    Args:
      points, y: of the fit; censored ones are left out.
      parameters: log of (s_min, B_crit, sharpness).
      reached: the batch sizes that reached the goal, with their seeds.
      sharpness: what it was fixed to, or None.
    """
    seen = ~points.censored
    log_b, error = points.log_b[seen], np.hypot(points.se[seen], FORM) * _student(reached)
    residual = (y[seen] - log_steps(parameters[None], log_b)[0]) / error
    slope = jacobian(parameters[None], log_b)[0][:, : 3 if sharpness is None else 2] / error[:, None]
    basis, _ = np.linalg.qr(slope)
    free = max(len(log_b) - slope.shape[1], 1)
    leverage = np.minimum((basis**2).sum(1), 0.95)
    outliers = residual / np.sqrt(1.0 - leverage)
    worst = int(np.abs(outliers).argmax())
    scatter = float(np.sqrt((residual**2).sum() / free))
    bend = _bend(residual, basis, log_b, error)
    size, outlier = int(np.exp(log_b[worst]).round()), float(outliers[worst])
    form = _form_notes(scatter, outlier, size, bend, residual * error)
    notes = (*form, *_seed_notes(reached), *_few_steps(reached))
    return CurveTest(scatter, outlier, size, bend, not form, notes)


def _student(reached: Sequence[Optimum]) -> float:
    """How much farther Student's tails reach than normal ones, since few seeds tell little about their spread."""
    df = max(1, sum(o.n_reached - 1 for o in reached))
    return float(scipy.special.stdtrit(df, scipy.special.ndtr(OUTLIER_MAX)) / OUTLIER_MAX)


def _bend(residual: np.ndarray, basis: np.ndarray, log_b: np.ndarray, error: np.ndarray) -> float:
    """Sum of squares that the third and fourth power of log B take off beyond the fit, which covers the lower ones."""
    x = 2.0 * (log_b - log_b.min()) / np.ptp(log_b) - 1.0
    terms = np.stack([x**2, x**3, x**4], axis=1) / error[:, None]
    terms = terms - basis @ (basis.T @ terms)
    extra, scale, _ = np.linalg.svd(terms, full_matrices=False)
    kept = extra[:, :2][:, scale[:2] > 1e-6 * max(scale[0], 1e-12)]
    return float(((kept.T @ residual) ** 2).sum())


def _form_notes(
    scatter: float, outlier: float, size: int, bend: float, residual: np.ndarray
) -> tuple[str, ...]:
    notes = []
    if abs(outlier) > OUTLIER_MAX:
        side = "more" if outlier > 0 else "fewer"
        notes.append(f"batch size {size:,} needs {side} steps than any such curve allows")
    if bend > BEND_MAX:
        worst = np.expm1(np.abs(residual).max())
        notes.append(
            f"the steps bend in another way than the curve, by up to {worst:.0%}: several knees, or a rise"
        )
    if scatter > SCATTER_MAX and not notes:
        notes.append(f"the points scatter about the curve {scatter:.1f} times as far as their errors")
    return tuple(f"the curve does not fit: {note}" for note in notes)


def _seed_notes(reached: Sequence[Optimum]) -> tuple[str, ...]:
    """Seeds that are far from the median of their batch size."""
    rows = [np.log(o.seed_steps) for o in reached if o.n_seeds > 2]
    if not rows:
        return ()
    apart = [row - np.nanmedian(row) for row in rows]
    together = np.abs(np.concatenate(apart))
    sd = MAD_TO_SD * np.nanmedian(together[together > 0]) if (together > 0).any() else 0.0
    limit = max(SEED_MAX * sd, np.log(SEED_FACTOR))
    far = [
        f"seed {seed} at batch size {o.batch_size} ({np.exp(gap):.2g} times the median)"
        for o, gaps in zip((o for o in reached if o.n_seeds > 2), apart, strict=True)
        for seed, gap in zip(o.seeds, gaps, strict=True)
        if abs(gap) > limit
    ]
    return (f"far from the other seeds: {', '.join(far)}",) if far else ()


def _few_steps(reached: Sequence[Optimum]) -> tuple[str, ...]:
    few = [o.batch_size for o in reached if o.steps is not None and o.steps < FEW_STEPS]
    if not few:
        return ()
    return (
        f"from batch size {min(few):,} on the goal takes fewer than {FEW_STEPS:.0f} steps: take a harder goal",
    )
