"""Batches of useful points from a Gaussian process: expected improvement with fantasies."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float

from hparam.gaussian_process import Posterior, fantasize, predict
from hparam.space import Space, rows

Points = Float[np.ndarray, "A dims"]
Values = Float[np.ndarray, " A"]

NUM_GLOBAL = 512  # candidates over the whole cube
NUM_LOCAL = 16  # candidates around each of the best points, at each scale
NUM_BEST = 8  # points that local candidates are drawn around
REFINEMENTS = 7  # rounds of the local search, each with half the step of the one before
KAPPA = 3.0  # standard deviations that the lower confidence bound lies below the mean
# Points of one batch differ by this much in some dimension, as a fraction of its range: on a smooth loss
# they would otherwise crowd within a thousandth, where fantasies cannot tell them apart.
MIN_GAP = 0.02
MIN_FEASIBLE = 1e-3  # floor of the probability: nothing is ever ruled out completely


def log_expected_improvement(mean: Values, std: Values, best: float) -> Values:
    """log E[max(best - f, 0)], f ~ N(mean, std^2): log std + log(phi(z) + z Phi(z)), z = (best - mean) / std.

    Far from improvement the second term underflows; there it is written with
    the scaled complementary error function (Ament et al., 2023, eq. 9).
    """
    from scipy.special import erfcx, ndtr

    z = (best - mean) / std
    near, far = np.maximum(z, -1.0), -np.minimum(z, -1.0)
    log_pdf = -(z**2) / 2 - np.log(2 * np.pi) / 2
    # 1 - far * Phi(-far) / phi(far) is about 1 / far^2; rounding must not make it negative.
    tail = np.maximum(1 - far * np.sqrt(np.pi / 2) * erfcx(far / np.sqrt(2)), 0.5 / (far**2 + 3))
    density = np.exp(-(near**2) / 2) / np.sqrt(2 * np.pi)
    return np.log(std) + np.where(z > -1, np.log(density + near * ndtr(near)), log_pdf + np.log(tail))


def choose_batch(
    space: Space,
    posterior: Posterior,
    feasible: Posterior | None,
    n: int,
    *,
    num_explore: int,
    taken: Iterable[tuple[float, ...]],
    rng: np.random.Generator,
) -> list[tuple[float, ...]]:
    """Up to `n` settings, one after the other, each after fantasies at those before (kriging believer).

    Each goes where the expected improvement is largest, the last `num_explore`
    where the lower confidence bound promises most, and none closer than
    `MIN_GAP` to another. `feasible` models the indicator of not diverging, and
    weighs both; None where nothing diverged. Fewer than `n` come back only where
    a finite space is used up.
    """
    seen = {space.hash(setting) for setting in taken}
    chosen: list[tuple[float, ...]] = []
    for i in range(n):
        score = _score(posterior, feasible, space.points(chosen), explore=i >= n - num_explore)
        setting = _best_unseen(space, *_candidates(space, posterior, score, rng), seen)
        if setting is None:
            break
        seen.add(space.hash(setting))
        chosen.append(setting)
        posterior = fantasize(posterior, space.points([setting]))
    return chosen


def _score(
    posterior: Posterior, feasible: Posterior | None, chosen: Points, *, explore: bool
) -> Callable[[Points], Values]:
    """Log expected improvement, or by how much the lower confidence bound undercuts the best: to maximize."""
    best = float(np.min(predict(posterior, posterior.points)[0]))

    def score(points):
        mean, std = predict(posterior, points)
        chance = 1.0 if feasible is None else np.clip(predict(feasible, points)[0], MIN_FEASIBLE, 1.0)
        if explore:
            promise = best - (mean - KAPPA * std)
            value = np.where(promise > 0, promise * chance, promise)
        else:
            value = log_expected_improvement(mean, std, best) + np.log(chance)
        gaps = np.max(np.abs(points[:, None, :] - chosen[None, :, :]), axis=2)
        return np.where(np.any(gaps < MIN_GAP, axis=1), -np.inf, value)

    return score


def _candidates(space: Space, posterior: Posterior, score, rng) -> tuple[Points, Values]:
    """Points and their scores, sharpened around the best by local search; all cells of a finite space."""
    cells = space.cells()
    if cells is not None:
        points = space.points(cells)
        return points, score(points)
    means = predict(posterior, posterior.points)[0]
    centres = np.repeat(posterior.points[np.argsort(means)[:NUM_BEST]], NUM_LOCAL, axis=0)
    around = [_perturbed(rng, centres, scale) for scale in (0.1, 0.01)]
    points = space.snap(np.concatenate([rng.random((NUM_GLOBAL, len(space))), *around]))
    scores = score(points)
    for i in range(REFINEMENTS):
        top = np.argsort(-scores)[:NUM_BEST]
        moved = space.snap(_perturbed(rng, np.repeat(points[top], NUM_LOCAL, axis=0), 0.1 / 2**i))
        points = np.concatenate([points[top], moved])
        scores = np.concatenate([scores[top], score(moved)])
    return points, scores


def _perturbed(rng: np.random.Generator, points: Points, scale: float) -> Points:
    """Gaussian steps along a random half of the axes, at least one, mirrored at the cube's faces."""
    moves = rng.random(points.shape) < 0.5
    moves[np.arange(len(points)), rng.integers(points.shape[1], size=len(points))] = True
    # A step beyond the opposite face would need a second mirror.
    steps = np.clip(scale * rng.standard_normal(points.shape), -1, 1)
    return 1 - np.abs(1 - np.abs(points + moves * steps))


def _best_unseen(space: Space, points: Points, scores: Values, seen: set[str]) -> tuple[float, ...] | None:
    for i in np.argsort(-scores, kind="stable"):
        setting = rows(space.from_unit(points[i : i + 1]))[0]
        if space.hash(setting) not in seen:
            return setting
    return None
