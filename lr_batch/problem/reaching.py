"""When a goal counts as reached: by the average of the held-out metric in log step, or at the first evaluation.

The first evaluation on the good side of a threshold is the extreme of a noisy curve: the denser the evaluations, the
earlier it comes, most of all at small batch sizes. The exponential average in log step,

    m(s) = integral of y(s e^(-u)) e^(-u / tau) du / tau, u from 0 on,

belongs to the training alone. It looks back over the last share tau of the steps, whatever their number, and lags by
that much: the goal is reached later.

It is taken where the metric is a mean over examples: of the logarithm of a perplexity and of the square of a root mean
square error, so that "perplexity<40" is reached when "loss<3.689" is, and "rmse<3" when the squared error is below 9.
What the untrained model had, 20,000 or more for a perplexity, would otherwise be remembered for most of the training.
1 - r2 is a ratio of mean squares: r2 stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lr_batch.problem.workload import Goal


class Rule(NamedTuple):
    """`time_constant` is tau, in log step, and 0 takes each evaluation as it is; `growth` is the relative distance of
    neighbouring evaluations by default, `share` the share of the time that they may take: 1 for all rows each time."""

    time_constant: float
    growth: float
    share: float


class Scale(NamedTuple):
    """On which a metric is averaged; `to` takes the module, NumPy or `jax.numpy`, whose functions it uses."""

    to: Callable[[Any, Any], Any]
    back: Callable[[Any], Any]


AS_IT_IS = Scale(lambda xp, value: value, lambda value: value)
SCALES = {
    "perplexity": Scale(lambda xp, value: xp.log(value), np.exp),
    "rmse": Scale(
        lambda xp, value: value * xp.abs(value), lambda square: np.sign(square) * np.sqrt(np.abs(square))
    ),
}


def on_scale(metric: str, value: Any, xp: Any = np) -> Any:
    """A value of a metric on the scale on which it is averaged.

    >>> float(on_scale("rmse", 3.0)), on_scale("loss", 3.0)
    (9.0, 3.0)
    """
    with np.errstate(all="ignore"):  # thresholds that nothing reaches
        return SCALES.get(metric, AS_IT_IS).to(xp, value)


def from_scale(metric: str, value: Any) -> Any:
    """Undoes `on_scale`."""
    return SCALES.get(metric, AS_IT_IS).back(value)


AVERAGE, FIRST = "average", "first"
# Recorded trials of digits_mlp, evaluated every 2 % and thinned to 4, 8 and 16 %: with tau = 0.3 the critical batch size
# of SGD, of Adam, and of SGD towards an error goal stays within 3 % of its value at 8 %, the fewest examples within 3 %.
# With tau = 0.2 the error goal moved by 9 %. `python -m runs.recipes.cadence` measures it by training anew.
# Shallue et al. (2019) take the first evaluation.
# A share of 1/4 reads parts of the held-out rows where batches are small. Steps to the goal of single trials spread by up
# to 7 % for losses and 12 % for errors, their mean moves by less than 1 % and by up to 1.3 % (`runs/results/speed`).
RULES = {
    AVERAGE: Rule(time_constant=0.3, growth=0.08, share=0.25),
    FIRST: Rule(time_constant=0.0, growth=0.08, share=1.0),
}


def reached_by(time_constant: float) -> str:
    """The rule in a few words, to stand behind a goal.

    >>> reached_by(0.3)
    'averaged in log step, time constant 0.3'
    """
    return f"averaged in log step, time constant {time_constant:g}" if time_constant else "first evaluation"


def average_weights(
    steps: Int[np.ndarray, " evals"], time_constant: float, start: int = 0
) -> Float[np.ndarray, "evals 3"]:
    """Weights of the average so far, the value before and the value now in the average at each evaluation.

    The metric is taken as linear in log step between evaluations, so that thinning them changes the average to second
    order only. At step 0 the logarithm ends: the average begins at the first evaluation after it.

    >>> average_weights(np.array([0, 10, 20]), 0.2).astype(float).round(3).tolist()
    [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.031, 0.248, 0.72]]

    Args:
      steps: of the evaluations, ascending.
      time_constant: tau >= 0; 0 makes the average the value.
      start: step of the evaluation before the first of `steps`.
    """
    weights = np.tile(np.array([0.0, 0.0, 1.0], np.float32), (len(steps), 1))
    before = np.concatenate([[start], steps[:-1]]).astype(float)
    inside = (before > 0) & (steps > before)
    if time_constant and inside.any():
        distance = np.log(steps[inside] / before[inside]) / time_constant
        kept, now = np.exp(-distance), 1 + np.expm1(-distance) / distance
        weights[inside] = np.stack([kept, 1 - kept - now, now], axis=1)
    return weights


def averaged(
    steps: Int[np.ndarray, " evals"],
    values: Float[np.ndarray, "evals ..."],
    time_constant: float,
    metric: str = "loss",
) -> Float[np.ndarray, "evals ..."]:
    """The average of a metric at each evaluation of a whole trial, or of several side by side."""
    values = on_scale(metric, np.asarray(values, np.float64))
    average = values.copy()
    for i, (kept, before, now) in enumerate(average_weights(np.asarray(steps), time_constant).astype(float)):
        if kept:
            average[i] = kept * average[i - 1] + before * values[i - 1] + now * values[i]
    return from_scale(metric, average)


def crossing(
    steps: Int[np.ndarray, " evals"], average: Float[np.ndarray, "evals ..."], goal: Goal
) -> Float[np.ndarray, "..."]:
    """The step at which the line between two averages meets the goal; NaN where it is never reached.

    >>> float(crossing(np.array([0, 1, 2, 4]), np.array([3.0, 2.0, 1.0, 0.5]), Goal("loss", 0.75)))
    3.0
    """
    if not len(steps):
        return np.full(average.shape[1:], np.nan)
    good = goal.is_met(average)
    now = np.argmax(good, axis=0)
    before = np.maximum(now - 1, 0)
    at = lambda i: on_scale(goal.metric, np.take_along_axis(average, i[None], axis=0)[0])
    with np.errstate(all="ignore"):  # where there is no evaluation before, or none is good
        share = (at(before) - on_scale(goal.metric, goal.threshold)) / (at(before) - at(now))
        between = np.where(now > before, steps[before] + share * (steps[now] - steps[before]), steps[now])
    return np.where(good.any(axis=0), between, np.nan)
