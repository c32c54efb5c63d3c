"""What a search has learned: a model of the loss, and how much of it each hyperparameter explains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from hparam.bayes import Observations, cells_of, models
from hparam.gaussian_process import Posterior, predict
from hparam.search import FRESH, FULL, Segment, State, generator
from hparam.tuning.plan import TuningPlan
from hparam.untried import sobol

POINTS = 1024  # of the integration
PER_DIMENSION = 3  # finite losses that a model needs for each dimension


class Surrogate(NamedTuple):
    """A Gaussian process of the loss over the unit cube of the space, and what it was fitted to.

    Losses far above the median count as less far, see `hparam.bayes`; diverged trials are left out. `steps`
    is how long the trials were trained.
    """

    posterior: Posterior
    cells: Observations
    steps: int


class Importance(NamedTuple):
    """Shares of the variance of the modelled loss over the space (Sobol indices); rows are its dimensions.

    `alone` is the share that one dimension explains by itself, `total` adds what it does with others.
    """

    alone: Float[np.ndarray, " dims"]
    total: Float[np.ndarray, " dims"]


def comparable(plan: TuningPlan, segments: Iterable[Segment]) -> tuple[int, list[Segment]]:
    """Those of one length, and that length in steps (0: full): the longest that has enough of them.

    Enough to compare are three finite losses for each dimension; else it is the length that most trials have.
    """
    by_steps: dict[int, list[Segment]] = {}
    for segment in segments:
        by_steps.setdefault(segment.steps, []).append(segment)
    finite = {steps: sum(np.isfinite(s.known_loss) for s in told) for steps, told in by_steps.items()}
    enough = [steps for steps, num in finite.items() if num >= PER_DIMENSION * len(plan.space)]
    steps = max(enough) if enough else max(finite, key=lambda s: (finite[s], s), default=FULL)
    return steps, by_steps.get(steps, [])


def surrogate(plan: TuningPlan, state: State) -> Surrogate | None:
    """The model of comparable trials; None where they are too few or all equal.

    Only of those that began with fresh parameters: the ones that went on were selected, and say nothing of
    the rest of the space.
    """
    steps, told = comparable(plan, [segment for segment in state.told if segment.continues == FRESH])
    cells = cells_of(plan.space, State(dict(enumerate(told))))
    finite = cells.loss[np.isfinite(cells.loss)]
    if len(finite) < PER_DIMENSION * len(plan.space) or np.ptp(finite) == 0:
        return None
    posterior, _ = models(cells, generator(jax.random.key(plan.seed)))
    return Surrogate(posterior, cells, steps or plan.study.max_steps)


def importance(posterior: Posterior, seed: int = 0) -> Importance:
    """Sobol indices of the model's mean (Jansen, 1999; Saltelli et al., 2010, table 2 c and f).

    With f the mean, A and B two sets of points and A_i = A with its column i from B:
    alone_i = 1 - E[(f(B) - f(A_i))^2] / (2 Var f), total_i = E[(f(A) - f(A_i))^2] / (2 Var f).
    """
    dims = posterior.points.shape[1]
    points = sobol(jax.random.key(seed), 2 * dims, 0, POINTS)
    a, b = points[:, :dims], points[:, dims:]
    mean = lambda x: predict(posterior, x)[0]
    f_a, f_b = mean(a), mean(b)
    variance = np.var(np.concatenate([f_a, f_b])) or 1.0
    mixed = [mean(np.where(np.arange(dims) == i, b, a)) for i in range(dims)]
    alone = np.array([1 - np.mean((f_b - f) ** 2) / (2 * variance) for f in mixed])
    total = np.array([np.mean((f_a - f) ** 2) / (2 * variance) for f in mixed])
    return Importance(np.clip(alone, 0.0, 1.0), np.clip(total, 0.0, 1.0))
