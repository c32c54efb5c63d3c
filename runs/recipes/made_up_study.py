"""Studies with a known answer: per-trial curves that cross the goal, raced, without any training.

Lanes do not shift alike from seed to seed: as measured on digits_mlp, log steps spread by 0.2 at the best
rates of small batches, by 0.085 at half of it, and by 0.1 on the plateau.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lr_batch import BUDGET, DIVERGED, REACHED, Curve, EngineReport, Goal, Result, log_grid
from lr_batch.analysis import rate_shapes
from lr_batch.engine import evaluation_steps

BATCH_SIZES = tuple(2**i for i in range(11))
RATES = log_grid(1e-3, 4.0, 16)
GOAL = Goal("loss", 0.2)
START = 2.3  # held-out loss before the first step
SD_BEST, SD_HALF, SD_PLATEAU = 0.2, 0.085, 0.1  # of log steps over seeds
SD_CHUNK = 0.06  # the part of it that all lanes of a chunk share
SMALL = 8.0  # batch size at which the spread is half way from small batches to the plateau
SD_EVALUATION = 0.05  # of log loss at batch size 1
STEPS_TO_DIVERGE = 5

# Log steps over those at the best rate, against log(rate / best): a cliff, a valley, two bowls.
SHAPES: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda offset: rate_shapes.cliff(offset, np.asarray(3.0))[0],
    lambda offset: rate_shapes.valley(offset, np.asarray(1.0))[0],
    lambda offset: np.where(offset < 1.0, 0.5 * offset**2, np.inf),
    lambda offset: (
        np.expm1(np.minimum(offset, 4.0)) - offset
    ),  # beyond e^4 times the best rate nothing more is lost
)


def hyperbola(batch_sizes: np.ndarray | int, s_min: float = 30.0, b_crit: float = 32.0) -> np.ndarray:
    """S(B) = s_min (1 + b_crit / B)."""
    return s_min * (1.0 + b_crit / np.asarray(batch_sizes, float))


def made_up_study(
    best_rates: np.ndarray,
    key: int,
    *,
    batch_sizes: tuple[int, ...] = BATCH_SIZES,
    rates: tuple[float, ...] = RATES,
    seeds: int = 4,
    shape: Callable[[np.ndarray], np.ndarray] = SHAPES[0],
    slack: float = 2.0,
    budget: int = 100_000,
) -> Result:
    """A `Result` whose best rates are `best_rates`, one for each batch size, before noise."""
    rng = np.random.default_rng(key)
    cadence = evaluation_steps(budget)
    chunks = [
        _chunk(batch, np.log(rates) - np.log(best), shape, cadence, slack, rng)
        for batch, best in zip(batch_sizes, best_rates, strict=True)
        for _ in range(seeds)
    ]
    steps_to_goal, steps, status, curves = (sum(parts, []) for parts in zip(*chunks, strict=True))
    batch, seed, rate = np.broadcast_arrays(
        np.asarray(batch_sizes)[:, None, None], np.arange(seeds)[:, None], np.asarray(rates)
    )
    return Result(
        workload="made-up",
        optimizer="sgd",
        goal=GOAL,
        budget=budget,
        batch_size=batch.ravel(),
        seed=seed.ravel(),
        hparams={"learning_rate": rate.ravel().copy()},
        steps_to_goal=np.array(steps_to_goal),
        steps=np.array(steps),
        status=np.array(status),
        curves=tuple(curves),
        engine=EngineReport(0.0, 0.0, 0, 0, "none", len(rates), 0.0),
    )


def lane_sd(batch: int, offset: np.ndarray) -> np.ndarray:
    """Spread of log steps over seeds at log(rate / best) = `offset`."""
    plateau = batch / (batch + SMALL)
    at_best = np.sqrt((1.0 - plateau) * SD_BEST**2 + plateau * SD_PLATEAU**2)
    towards_half = np.clip(-offset / np.log(2.0), 0.0, 1.0)
    return at_best + towards_half * (SD_HALF - at_best)


def _chunk(
    batch: int,
    offset: np.ndarray,
    shape: Callable[[np.ndarray], np.ndarray],
    cadence: np.ndarray,
    slack: float,
    rng: np.random.Generator,
) -> tuple[list[float], list[int], list[str], list[Curve]]:
    """Steps to goal, steps trained, status and curve of the lanes of one batch size and seed, with draws of their own."""
    own = np.sqrt(lane_sd(batch, offset) ** 2 - SD_CHUNK**2) * rng.standard_normal(len(offset))
    common = SD_CHUNK * rng.standard_normal()
    needed = hyperbola(batch) * np.exp(shape(offset) + own + common)
    diverges = np.isinf(needed) & (offset > 0)
    values = _curves(needed, batch, cadence, rng)
    values[np.ix_(cadence >= STEPS_TO_DIVERGE, diverges)] = np.nan
    crossing = _first_crossings(cadence, values)
    last = _end_of_race(cadence, crossing, diverges, slack)
    hit = crossing <= cadence[last]
    status = np.where(diverges, DIVERGED, np.where(hit, REACHED, BUDGET))
    steps = np.where(diverges, STEPS_TO_DIVERGE, cadence[last])
    curves = [Curve(cadence[: last + 1], column) for column in values[: last + 1].T]
    return np.where(hit, crossing, np.nan).tolist(), steps.tolist(), status.tolist(), curves


def _curves(needed: np.ndarray, batch: int, cadence: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Losses `[evals, lanes]` that fall like START / (1 + step / s), with s such that the goal is met at `needed`."""
    scale = needed / (START / GOAL.threshold - 1.0)
    noise = SD_EVALUATION / np.sqrt(1.0 + batch / SMALL)
    clean = START / (1.0 + cadence[:, None] / scale)
    return clean * np.exp(noise * rng.standard_normal(clean.shape))


def _first_crossings(cadence: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolated step at which each lane's loss is first below the goal, infinite where it never is."""
    below = values < GOAL.threshold
    at = np.maximum(below.argmax(0), 1)
    before, after = (np.take_along_axis(values, (at - i)[None], 0)[0] for i in (1, 0))
    share = (before - GOAL.threshold) / (before - after)
    return np.where(below.any(0), cadence[at - 1] + share * (cadence[at] - cadence[at - 1]), np.inf)


def _end_of_race(cadence: np.ndarray, crossing: np.ndarray, diverges: np.ndarray, slack: float) -> int:
    """Index of the last evaluation: all lanes decided, or the first one `slack` times over."""
    decided = np.where(diverges, 0.0, crossing).max()
    stop = min(decided, slack * crossing.min())
    return int(min(np.searchsorted(cadence, stop), len(cadence) - 1))
