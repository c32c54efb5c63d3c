"""How a chunk in flight is doing, and when its race is likely to end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lr_batch.lanes.race import Carry, Terms
from lr_batch.problem.reaching import on_scale

# The steps of the first lane to reach the goal, over those so far, lie between these where none has got there. Images at
# small batch sizes need a hundred times the first steps, of which their metric tells nothing.
SOONEST, LATEST = 1.25, 30.0


class ChunkStatus(NamedTuple):
    """How the lanes of a chunk in flight are doing.

    Attributes:
      reached, alive: lanes that have reached the goal, and those and all that are in training.
      step: steps done.
      end: steps after which the race is likely to be over.
      best_steps: fewest steps to the goal so far, NaN where no lane has reached it.
      best_value: of the held-out metric at the last evaluation.
      seconds_per_step: of all lanes with their evaluations; None where only a program's compilation was timed.
      seconds: since the chunk began, or went on.
      waited: seconds of these in which the device stood still for want of data; None where all data lie on it.
    """

    reached: int
    alive: int
    step: int
    end: float
    best_steps: float
    best_value: float
    seconds_per_step: float | None = None
    seconds: float = 0.0
    waited: float | None = None

    @classmethod
    def of(
        cls, carry: Carry, terms: Terms, lanes: int, metric: str, seconds_per_step: float | None = None
    ) -> ChunkStatus:
        """Of the first `lanes` lanes of a chunk that has been evaluated at least once, by the goal's metric."""
        steps_to_goal, alive = (
            np.asarray(column)[:lanes] for column in (carry.steps_to_goal, carry.lanes.alive)
        )
        value = np.asarray(carry.values)[int(carry.evals) - 1, :lanes][alive]
        best = value.max if terms.above else value.min
        reached = np.isfinite(steps_to_goal)
        return cls(
            reached=int(reached.sum()),
            alive=int((alive | reached).sum()),
            step=int(carry.draw.step),
            end=expected_end(carry, terms, lanes, metric) if bool(carry.running) else int(carry.draw.step),
            best_steps=float(steps_to_goal[reached].min()) if reached.any() else np.nan,
            best_value=float(best()) if len(value) else np.nan,
            seconds_per_step=seconds_per_step,
        )


def expected_end(carry: Carry, terms: Terms, lanes: int, metric: str) -> float:
    """Steps at which the race is likely to end: by its slack after the first lane, at the budget at the latest."""
    budget = float(terms.cadence[int(terms.num_evals) - 1])
    first, step = float(carry.first), int(carry.draw.step)
    if not np.isfinite(first):
        likely = _first_to_reach(carry, terms, lanes, metric)
        first = float(np.clip(likely, SOONEST * step, LATEST * max(step, 1)))
    return max(step, min(budget, float(terms.slack) * first))


def _first_to_reach(carry: Carry, terms: Terms, lanes: int, metric: str) -> float:
    """Steps at which the first lane reaches the goal if its metric goes on as over the last half of its steps.

    As a power of the steps where it has to fall to a positive threshold, else as a line in log step; on the scale on
    which it is averaged, whose lag comes on top. Infinite where none gets nearer. Over the chunks of kept studies of
    digits_mlp, digits_cnn and pydoc_lm the steps foretold at step 64 were 0.7 to 1.1 times the real ones in the median,
    and 0.3 times for the error of fashion_mnist_fc, which flattens; as lines, and without the lag, 0.2 to 0.5 and 0.2
    times.
    """
    now, steps = int(carry.evals) - 1, np.asarray(terms.cadence)
    before = int(np.searchsorted(steps[:now], steps[now] / 2))
    if not 0 < steps[before] < steps[now]:
        return np.inf
    values, threshold = on_scale(metric, np.asarray(carry.values)[:, :lanes]), float(terms.threshold)
    with np.errstate(invalid="ignore", divide="ignore"):  # a lane that has diverged; a loss of 0 or less
        if threshold > 0 and not terms.above:
            values, threshold = np.log(values), np.log(threshold)
        distance = np.abs(values[now] - threshold)
        gained = np.abs(values[before] - threshold) - distance
    nearer = np.isfinite(gained) & (gained > 0)
    if not nearer.any():
        return np.inf
    doublings = np.min(distance[nearer] / gained[nearer]) * np.log2(steps[now] / steps[before])
    return float(steps[now] * 2.0 ** min(doublings, 64.0)) * _lag(terms, now)


def _lag(terms: Terms, now: int) -> float:
    """How many times later than the metric its average gets anywhere: e to the time constant, which its weights tell."""
    kept, steps = float(terms.weights[now, 0]), np.asarray(terms.cadence)
    return float(steps[now] / steps[now - 1]) ** (-1 / np.log(kept)) if kept > 0 else 1.0
