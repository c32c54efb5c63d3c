"""The best learning rate of each width, and whether wider networks lose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lr_batch import Estimate, estimate

NO_SHIFT = Estimate(0.0, 0.0, 0.0)  # of the first width from itself


class BestRate(NamedTuple):
    """The best learning rate of one width.

    Attributes:
      rate: geometric mean over seeds, with its interval.
      octaves: log2 of it relative to the first width, seed by seed. Where seeds of either have their best rate on
        the edge of the grid it has no end on that side; NaN where most of them have.
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
    places, last = np.argmin(loss, axis=-1), len(rates) - 1
    edges = np.isin(np.median(places, axis=-1), (0, last))
    means = np.log(loss).mean(axis=1)
    kept = [np.exp(np.interp(where[0].mean(), np.log2(rates), mean) - mean.min()) for mean in means]
    return tuple(
        BestRate(
            width,
            Estimate(*np.exp2(estimate(where[i])).tolist()),
            _shift(where[[0, i]], places[[0, i]], last, unknown=bool(edges[[0, i]].any())) if i else NO_SHIFT,
            float(np.exp(lowest[i].mean())),
            float(kept[i]),
            bool(edges[i]),
        )
        for i, width in enumerate(widths)
    )


def _shift(
    where: Float[np.ndarray, "2 seeds"], places: Int[np.ndarray, "2 seeds"], last: int, *, unknown: bool
) -> Estimate:
    """From one width to another. A best rate at an end of the grid is a bound: the true one may lie beyond."""
    best, low, high = estimate(where[1] - where[0])
    (first_low, low_end), (first_high, high_end) = (
        (places == 0).any(axis=1),
        (places == last).any(axis=1),
    )
    return Estimate(
        np.nan if unknown else best,
        -np.inf if low_end or first_high else low,
        np.inf if high_end or first_low else high,
    )


def octaves_text(shift: Mapping[str, float | None]) -> str:
    """A shift with its interval, whose ends are None where a best rate lies on the edge of the grid.

    >>> octaves_text({"best": -2.0, "low": -2.5, "high": -1.5})
    '-2.00 (-2.50 to -1.50)'
    >>> octaves_text({"best": None, "low": 1.5, "high": None}), octaves_text(dict.fromkeys(Estimate._fields))
    ('+1.50 at least (edge)', 'unknown (edge)')
    """
    best, low, high = (shift[part] for part in Estimate._fields)
    if best is not None and low is not None and high is not None:
        return f"{best:+.2f} ({low:+.2f} to {high:+.2f})"
    if low is None and high is None:
        return "unknown (edge)"
    end = f"{high:+.2f} at most" if low is None else f"{low:+.2f} at least"
    return f"{end} (edge)" if best is None else f"{best:+.2f} ({end})"


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
