"""The best learning rate of each width, and whether wider networks lose."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lr_batch import Estimate, estimate


class BestRate(NamedTuple):
    """The best learning rate of one width.

    Attributes:
      rate: geometric mean over seeds, with its interval.
      octaves: log2 of it relative to the first width, seed by seed.
      loss: geometric mean over seeds of the smallest loss.
      kept: loss at the first width's best rate over the lowest of the grid, of means over seeds; 1 at best.
      edge: whether it is the first or last rate of the grid.
    """

    width: int
    rate: Estimate
    octaves: Estimate
    loss: float
    kept: float
    edge: bool


def best_rates(
    widths: tuple[int, ...], rates: tuple[float, ...], loss: Float[np.ndarray, "widths seeds rates"]
) -> tuple[BestRate, ...]:
    """Best rate of every width. Seeds share their examples over widths, so shifts are taken seed by seed."""
    found = np.array([[minimum(np.log2(rates), np.log(seed)) for seed in width] for width in loss])
    where, lowest = found[..., 0], found[..., 1]
    edges = np.median(np.argmin(loss, axis=-1), axis=-1)
    means = np.log(loss).mean(axis=1)
    kept = [np.exp(np.interp(where[0].mean(), np.log2(rates), mean) - mean.min()) for mean in means]
    return tuple(
        BestRate(
            width,
            Estimate(*np.exp2(estimate(where[i])).tolist()),
            estimate(where[i] - where[0]),
            float(np.exp(lowest[i].mean())),
            float(kept[i]),
            bool(edges[i] in (0, len(rates) - 1)),
        )
        for i, width in enumerate(widths)
    )


def minimum(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Place and value of the minimum of y, by a parabola through the lowest point and two to either side.

    Weights e^(lowest - y) keep the cliff beyond which training diverges (y infinite) from bending the
    parabola. The lowest point itself where that is the first or last one or the points do not turn.
    """
    i = int(np.argmin(y))
    near = np.arange(max(i - 2, 0), min(i + 3, len(x)))
    near = near[np.isfinite(y[near])]
    if i in (0, len(x) - 1) or len(near) < 3:
        return float(x[i]), float(y[i])
    a, b, c = np.polyfit(x[near] - x[i], y[near], 2, w=np.exp(y[i] - y[near]))
    turn = -b / (2 * a) if a > 0 else np.inf
    if not x[near[0]] <= x[i] + turn <= x[near[-1]]:
        return float(x[i]), float(y[i])
    return float(x[i] + turn), float(c + b * turn / 2)


def wider_is_worse(loss: Float[np.ndarray, "widths seeds rates"], margin: float = 0.01) -> tuple[int, int]:
    """At how many rates a network loses to the next narrower one, and of how many compared.

    It loses where the interval of its excess in log loss, over seeds, lies above `margin`; rates at
    which some seed of the narrower network diverged are not compared.
    """
    worse = compared = 0
    for narrow, wide in zip(loss, loss[1:], strict=False):
        for column in np.flatnonzero(np.isfinite(narrow).all(axis=0)):
            compared += 1
            excess = np.log(wide[:, column] / narrow[:, column])
            worse += not np.isfinite(excess).all() or estimate(excess).low > margin
    return int(worse), compared
