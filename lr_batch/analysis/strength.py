"""How much regularization is best, and what it buys, with intervals over seeds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lr_batch.analysis.intervals import LEVEL, Estimate, estimate, positive_estimate
from lr_batch.generalization import Generalization
from optim.arguments import explain_arguments


class StrengthRow(NamedTuple):
    """Performance at one batch size and strength, the other hyperparameters at their best.

    For each seed they are chosen by the held-out metric of the other seeds, so that the choice does not
    flatter it; `others` are those that are best over all. `gap` is held-out minus training. `trials` are
    those of `others`.
    """

    batch_size: int
    strength: float
    held_out: Estimate
    train: Estimate
    gap: Estimate
    others: dict[str, float]
    trials: Int[np.ndarray, " seeds"]


class BestStrength(NamedTuple):
    """`low` to `high` are the strengths whose held-out metric differs from the best one's by no more than
    chance.

    `gain` is how much better, lower or higher by the goal's direction, the metric is than without regularization
    where, for each seed, the strength too
    is chosen by the other seeds; None where the grid does not hold the strength that is off.
    """

    batch_size: int
    best: float
    low: float
    high: float
    gain: Estimate | None


@explain_arguments
def strength_rows(fits: Generalization, *, level: float = LEVEL) -> tuple[StrengthRow, ...]:
    """One row for each batch size and strength, both ascending. Needs at least two seeds."""
    held_out, train = fits.cost(fits.held_out), fits.cost(fits.train)
    rows = []
    for batch_size in fits.study.batch_sizes:
        for strength in strengths(fits):
            trials = _cells(fits, batch_size, strength)
            chosen = trials[_leave_one_out(held_out[trials]), np.arange(trials.shape[1])]
            best = trials[np.argmin(_means(held_out[trials]))]
            parts = [_of_metric(fits, costs[chosen], level) for costs in (held_out, train)]
            gap = estimate(_difference(held_out, train)[chosen] * fits.study.goal.sign, level)
            names = [name for name in fits.hparams if name != fits.regularizer.strength]
            others = {name: float(fits.hparams[name][best[0]]) for name in names}
            rows.append(StrengthRow(batch_size, strength, *parts, gap, others, best))
    return tuple(rows)


@explain_arguments
def best_strengths(fits: Generalization, *, level: float = LEVEL) -> tuple[BestStrength, ...]:
    """The best strength of each batch size; differences between strengths are taken within each seed."""
    return tuple(_best(fits, batch_size, level) for batch_size in fits.study.batch_sizes)


def _best(fits: Generalization, batch_size: int, level: float) -> BestStrength:
    held_out, grid = fits.cost(fits.held_out), strengths(fits)
    # [strengths seeds]
    costs = np.array([_chosen_values(held_out[_cells(fits, batch_size, s)]) for s in grid])
    best = int(np.argmin(_means(costs)))
    worse = [estimate(_difference(row, costs[best]), level).low > 0 for row in costs]
    alike = [strength for strength, is_worse in zip(grid, worse, strict=True) if not is_worse]
    off, gain = fits.regularizer.off, None
    if off in grid:
        # The best of several is lucky on the seeds that chose it: each seed takes the choice of the others.
        gain = estimate(_difference(costs[grid.index(off)], _chosen_values(costs)), level)
    return BestStrength(batch_size, grid[best], min(alike), max(alike), gain)


def _of_metric(fits: Generalization, costs: Float[np.ndarray, " seeds"], level: float) -> Estimate:
    """An estimate of the metric from what less is better of."""
    return positive_estimate(costs * fits.study.goal.sign, level)


def strengths(fits: Generalization) -> tuple[float, ...]:
    strength, space = fits.regularizer.strength, fits.study.space
    if strength not in space:
        raise ValueError(
            f"strength_rows: the space of the study must hold {strength}, got {', '.join(space)}; "
            f"let it have several values, {fits.regularizer.off:g} (off) among them"
        )
    return tuple(space[strength])


def _cells(fits: Generalization, batch_size: int, strength: float) -> Int[np.ndarray, "others seeds"]:
    """Numbers of the trials at a batch size and strength, by the other hyperparameters and by seed."""
    name = fits.regularizer.strength
    mine = np.flatnonzero((fits.batch_size == batch_size) & (fits.hparams[name] == strength))
    others = np.stack([fits.hparams[other][mine] for other in fits.hparams if other != name])
    return mine[np.lexsort((fits.seed[mine], *others[::-1]))].reshape(-1, len(fits.study.seed_numbers))


def _leave_one_out(values: Float[np.ndarray, "choices seeds"]) -> Int[np.ndarray, " seeds"]:
    """For each seed, the choice with the lowest mean cost over the other seeds."""
    seeds = range(values.shape[1])
    return np.array([np.argmin(_means(np.delete(values, seed, axis=1))) for seed in seeds])


def _chosen_values(values: Float[np.ndarray, "choices seeds"]) -> Float[np.ndarray, " seeds"]:
    return values[_leave_one_out(values), np.arange(values.shape[1])]


def _means(values: Float[np.ndarray, "choices seeds"]) -> Float[np.ndarray, " choices"]:
    return values.mean(axis=1)


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a - b, infinite where a is; two trials that both diverged do not differ."""
    both = np.isfinite(a) & np.isfinite(b)
    return np.where(
        both, np.where(both, a, 0.0) - np.where(both, b, 0.0), np.where(np.isfinite(b), np.inf, 0.0)
    )
