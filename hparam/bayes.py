"""Bayesian optimization by a Gaussian process, in batches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hparam.acquisition import choose_batch
from hparam.gaussian_process import Posterior, fantasize, fit
from hparam.search import Search, Segment, State, Wanted, generator, make_search
from hparam.space import Space
from hparam.untried import untried_segments
from optim.arguments import explain_arguments

# Losses further above the median than this many times (median - best) count as
# that far: a loss just short of divergence would flatten all else.
WINSOR = 5.0
# Weight of the pooled variance in a cell's own, in degrees of freedom: two to
# four seeds say little about one cell's variance.
PRIOR_SEEDS = 4.0


class Observations(NamedTuple):
    """What is known, one row per setting; `loss` is infinite where any seed diverged."""

    points: Float[np.ndarray, "cells dims"]
    loss: Float[np.ndarray, " cells"]
    noise: Float[np.ndarray, " cells"] | None  # variance of each mean; None where no setting has two seeds
    running: Float[np.ndarray, "running dims"]


@explain_arguments
def bayes(space: Space, initial: int | None = None, explore: float = 0.1) -> Search:
    """Gaussian process, expected improvement, and fantasies for what is still running.

    Matern 5/2 with a length scale per dimension; the noise of a cell comes from
    its seeds, or is fitted where no cell has two. A batch is chosen point by
    point, each as if those before it had returned the model's mean (kriging
    believer, Ginsbourger et al., 2010). A diverged trial is infeasible: a second
    Gaussian process learns where that happens and scales the improvement by the
    probability that it does not (after Gelbart et al., 2014). To the first one
    it is unknown: a stand-in as bad as the worst loss would be a cliff beside
    the optimum, where the best learning rates lie, and blur it. While there is
    nothing to model the points are quasi-random, with a note.

    Args:
      initial: finite losses, >= 2, before the model is used; default 2 (dims + 1).
      explore: fraction in [0, 1] of a batch that goes where the model knows least.
    """
    initial = 2 * (len(space) + 1) if initial is None else initial
    if not initial >= 2:
        raise ValueError(f"bayes: initial must be >= 2, got {initial}")
    if not 0 <= explore <= 1:
        raise ValueError(f"bayes: explore must be in [0, 1], got {explore:g}")

    def plan(key, state, n) -> Wanted:
        cells = cells_of(space, state)
        reason = _unusable(cells, initial)
        if reason:
            notes = (f"bayes: {reason}; quasi-random points",) if len(cells.loss) else ()
            return Wanted(untried_segments(space, key, state, n), notes)
        rng = generator(key, len(state.segments))
        asked = [segment.setting for segment in state.segments.values()]
        num_explore = int(explore * n)
        first = choose_batch(space, *models(cells, rng), n, num_explore=num_explore, taken=asked, rng=rng)
        return Wanted(untried_segments(space, key, state, n, first=first))

    return make_search(space, plan)


def cells_of(space: Space, state: State) -> Observations:
    """Seeds of one setting put together."""
    seeds: dict[str, list[Segment]] = {}
    for segment in state.told:
        seeds.setdefault(space.hash(segment.setting), []).append(segment)
    losses = [np.array([segment.loss for segment in same]) for same in seeds.values()]
    return Observations(
        space.points([same[0].setting for same in seeds.values()]),
        np.array([np.mean(loss) for loss in losses]),
        _noise(losses),
        space.points([segment.setting for segment in state.segments.values() if not segment.told]),
    )


def models(cells: Observations, rng: np.random.Generator) -> tuple[Posterior, Posterior | None]:
    """Beliefs about the loss and, where anything diverged, about being feasible (1) or not (0)."""
    feasible = np.isfinite(cells.loss)
    finite = cells.loss[feasible]
    middle = np.median(finite)
    ceiling = middle + WINSOR * (middle - np.min(finite))
    noise = None if cells.noise is None else cells.noise[feasible]
    seeds = rng.integers(2**31, size=2).tolist()
    loss = fit(cells.points[feasible], np.minimum(finite, ceiling), noise, seeds[0])
    loss = fantasize(loss, cells.running) if len(cells.running) else loss
    return loss, None if feasible.all() else fit(cells.points, feasible.astype(float), None, seeds[1])


def _unusable(cells: Observations, initial: int) -> str:
    """Why there is no model yet, or ""."""
    finite = cells.loss[np.isfinite(cells.loss)]
    if len(cells.loss) and not len(finite):
        return f"all {len(cells.loss)} settings diverged"
    if len(finite) < initial:
        return f"{len(finite)} finite losses, fewer than {initial}"
    return "all losses are equal" if np.ptp(finite) == 0 else ""


def _noise(losses: list[Float[np.ndarray, " _"]]) -> Float[np.ndarray, " cells"] | None:
    """Variance of each mean, the cell's own shrunk towards the pooled one."""
    finite = [loss if np.all(np.isfinite(loss)) else loss[:0] for loss in losses]
    freedom = np.array([max(len(loss) - 1, 0) for loss in finite])
    if not freedom.sum():
        return None
    squares = np.array([np.sum((loss - np.mean(loss)) ** 2) if len(loss) else 0.0 for loss in finite])
    pooled = squares.sum() / freedom.sum()
    variance = (squares + PRIOR_SEEDS * pooled) / (freedom + PRIOR_SEEDS)
    return variance / np.array([len(loss) for loss in losses])
