"""The best settings of a search once more, on seeds that it has not seen: the best of many is optimistic."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hparam.search import FRESH, FULL, Proposal, Segment, State, mean_losses, segment_id, to_proposal
from hparam.space import Space
from hparam.tuning.plan import TuningPlan
from lr_batch import Estimate, positive_estimate


class Finalist(NamedTuple):
    """A setting with the loss that the search measured, and its losses on fresh seeds (infinite: diverged).

    For a search that changes settings on the way (population-based training) `setting` is the last one; all
    of them are trained again.
    """

    setting: dict[str, float]
    searched: float
    fresh: Float[np.ndarray, " seeds"]

    @property
    def diverged(self) -> int:
        return int(np.isinf(self.fresh).sum())

    @property
    def mean(self) -> float | None:
        """Over fresh seeds; None where one diverged or there are none."""
        return None if self.diverged or not len(self.fresh) else float(np.mean(self.fresh))

    @property
    def interval(self) -> Estimate | None:
        """The mean with its 90 % interval (`lr_batch.positive_estimate`); None below two seeds or where one diverged."""
        if self.mean is None or len(self.fresh) < 2:
            return None
        return positive_estimate(np.asarray(self.fresh))


def confirm(
    plan: TuningPlan, state: State, train: Callable[[Proposal], Float[np.ndarray, " n"]]
) -> tuple[Finalist, ...]:
    """The best settings at full length, as many as fill a chunk, trained on `plan.confirm` fresh seeds.

    They share those seeds, so they are compared on equal draws. Each is trained as it was in the search,
    segment by segment. Empty where every trial diverged.
    """
    means = mean_losses(plan.space, state)
    best = sorted((loss, setting) for setting, loss in means.items() if np.isfinite(loss))[: plan.width]
    first = 1 + max((segment.repeat for segment in state.segments.values()), default=-1)
    chains = [lineage(state, setting) for _, setting in best]
    seeds = range(first, first + plan.confirm)
    losses = train_again(plan.space, [_reseeded(chain, seed) for chain in chains for seed in seeds], train)
    fresh = np.array(losses).reshape(len(best), plan.confirm)
    return tuple(
        Finalist(dict(zip(plan.space.names, setting, strict=True)), loss, fresh[i])
        for i, (loss, setting) in enumerate(best)
    )


def lineage(state: State, setting: tuple[float, ...]) -> list[Segment]:
    """The segments of the best trial that ended, at the longest training, with `setting`; oldest first."""
    told = [s for s in state.told if s.setting == setting and np.isfinite(s.known_loss)]
    chain = [min(told, key=lambda s: (s.steps != FULL, -s.steps, s.known_loss))]
    while chain[0].continues != FRESH:
        chain.insert(0, state.segments[chain[0].continues])
    return chain


def _reseeded(chain: list[Segment], repeat: int) -> list[Segment]:
    return [segment._replace(repeat=repeat, loss=None) for segment in chain]


def train_again(
    space: Space, chains: list[list[Segment]], train: Callable[[Proposal], Float[np.ndarray, " n"]]
) -> list[float]:
    """Final losses of chains of segments; stage by stage, since a segment needs the one before it."""
    parents, losses = [FRESH] * len(chains), [np.inf] * len(chains)
    for stage in range(max(map(len, chains), default=0)):
        going = [i for i, chain in enumerate(chains) if stage < len(chain)]
        segments = [chains[i][stage]._replace(continues=parents[i]) for i in going]
        results = train(to_proposal(space, segments)).tolist()
        for i, segment, loss in zip(going, segments, results, strict=True):
            parents[i], losses[i] = segment_id(space, segment), loss
    return losses
