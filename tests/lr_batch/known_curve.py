"""Results of studies that were never run, drawn from a known curve."""

from __future__ import annotations

import numpy as np

from lr_batch.analysis import rate_shapes
from lr_batch.problem.workload import Goal
from lr_batch.result import BUDGET, DIVERGED, REACHED, Curve, EngineReport, Result

BATCH_SIZES = 2 ** np.arange(11)
RATES = np.geomspace(1e-3, 4.0, 16)


def hyperbola(batch_sizes, s_min=30.0, b_crit=32.0, sharpness=1.0):
    return s_min * (1 + (b_crit / np.asarray(batch_sizes, float)) ** sharpness) ** (1 / sharpness)


def saturating(batch_sizes, rate_max=1.0, b_noise=32.0):
    return rate_max / (1 + b_noise / np.asarray(batch_sizes, float))


def edge(offset):
    """One mode of the noisy quadratic."""
    return rate_shapes.cliff(offset, np.asarray(3.0))[0]


def bowl(offset):
    """Parabola in log rate that ends in divergence."""
    return np.where(offset < 1.0, 0.5 * offset**2, np.inf)


def skewed(offset):
    """1/rate on the far left, exponential on the right."""
    return np.expm1(offset) - offset


def lopsided(offset):
    """Slope -1/2 on the far left, 2 on the right: none of the shapes that are fitted."""
    return np.log((2.0 * np.exp(-0.5 * offset) + 0.5 * np.exp(2.0 * offset)) / 2.5)


def drop(offset):
    """Exactly 1/rate up to the edge, nothing beyond it."""
    return np.where(offset <= 0, -offset, np.inf)


def wedge(offset):
    """1/rate, then as fast up again, then divergence."""
    return np.where(offset < 0.8, np.abs(offset), np.inf)


def draw_result(
    key,
    shape=edge,
    steps=None,
    rates=None,
    *,
    batch_sizes=BATCH_SIZES,
    grid=RATES,
    seeds=4,
    seed_sd=0.1,
    common_sd=0.0,
    lane_sd=0.03,
    shift_sd=0.03,
    slack=2.0,
    budget=100_000,
):
    """A `Result` whose lanes follow log steps(B) + shape(log rate - log best rate(B)), raced.

    `seed_sd` is the spread of a (batch size, seed) chunk, `common_sd` of a seed over
    all batch sizes, `lane_sd` of a lane, `shift_sd` of the best log rate of a chunk.
    """
    rng = np.random.default_rng(key)
    steps = hyperbola(batch_sizes) if steps is None else np.asarray(steps)
    rates = saturating(batch_sizes) if rates is None else np.asarray(rates)
    sizes = (len(batch_sizes), seeds, len(grid))
    chunk = seed_sd * rng.standard_normal(sizes[:2]) + common_sd * rng.standard_normal(seeds)
    best = np.log(rates)[:, None] + shift_sd * rng.standard_normal(sizes[:2])
    offset = np.log(grid) - best[..., None]
    needed = np.exp(
        np.log(steps)[:, None, None] + chunk[..., None] + shape(offset) + lane_sd * rng.standard_normal(sizes)
    )
    stop = np.minimum(slack * needed.min(-1, keepdims=True), budget)
    reached = needed <= stop
    diverged = np.isinf(needed) & (offset > 0)
    status = np.where(reached, REACHED, np.where(diverged, DIVERGED, BUDGET))
    batch, seed, rate = np.broadcast_arrays(
        np.asarray(batch_sizes)[:, None, None], np.arange(seeds)[:, None], np.asarray(grid)
    )
    trained = np.where(diverged, 5, np.ceil(np.broadcast_to(stop, sizes))).astype(int)
    return Result(
        workload="synthetic",
        optimizer="sgd",
        goal=Goal("loss", 0.2),
        budget=budget,
        batch_size=batch.ravel(),
        seed=seed.ravel(),
        hparams={"learning_rate": rate.ravel().copy()},
        steps_to_goal=np.where(reached, needed, np.nan).ravel(),
        steps=trained.ravel(),
        status=status.ravel(),
        curves=tuple(Curve(np.zeros(0, int), np.zeros(0)) for _ in range(batch.size)),
        engine=EngineReport(0.0, 0.0, 0, 0, "none", sizes[2], 0.0),
    )
