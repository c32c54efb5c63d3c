"""Population-based training, PBT (Jaderberg et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from hparam.rungs import Members, fill, finished, go_on
from hparam.search import Key, Search, Segment, Wanted, generator, make_search
from hparam.space import Space, rows
from optim.arguments import explain_arguments


@explain_arguments
def population(
    space: Space,
    size: int = 16,
    interval: int = 100,
    max_steps: int = 2000,
    truncation: float = 0.2,
    step: float = 0.1,
    resample: float = 0.25,
) -> Search:
    """Members train side by side; every `interval` steps the worst become changed copies of the best.

    Exploit: the worst `truncation` of the members, and all that diverged, take
    over the lane of one of the best, drawn at random. Explore: each of its
    hyperparameters moves by `step` of its range on the dimension's own scale, up
    or down (the paper multiplies by 1.2 or 0.8, which on a log scale is the
    same kind of move), or, with probability `resample`, is drawn anew. When a
    population has come to `max_steps`, or lanes are left, another one starts.

    Args:
      size: members of a population, >= 2.
      interval: optimizer steps between exchanges, >= 1.
      max_steps: length of a member's training, >= interval.
      truncation: fraction in (0, 0.5].
      step, resample: in [0, 1].

    Raises:
      ValueError: one line, if an argument is out of its range.
    """
    _check(size, interval, max_steps, truncation, step=step, resample=resample)
    exchanges = range(interval, max_steps, interval)
    return exchanging(
        space, exchanges, max_steps, size=size, truncation=truncation, step=step, resample=resample
    )


def exchanging(
    space: Space,
    exchanges: Sequence[int],
    max_steps: int,
    *,
    size: int,
    truncation: float,
    step: float,
    resample: float,
) -> Search:
    """The same with exchanges at any ascending steps below `max_steps`, or none."""
    ends = (*exchanges, max_steps)
    worst = max(1, int(size * truncation))
    # At least one cell, or a whole number would never move; a choice is only drawn anew.
    dimensions = space.dimensions.values()
    strides = np.array([max(step, 1 / (d.cells or np.inf)) if d.ordered else 0.0 for d in dimensions])

    def ready(key: Key, cohort: int, members: Members) -> list[Segment]:
        """The last generation that can be told from what is known, asked or not."""
        generation: list[Segment] = []
        alive = size
        for steps, until in zip(ends[:-1], ends[1:], strict=True):
            ranked = finished(members, steps, alive)
            if ranked is None or not np.isfinite(ranked[0][1].known_loss):
                break
            rng = generator(jax.random.fold_in(key, cohort), steps)
            generation = next_generation(ranked, until, rng)
            alive = len(generation)
        return generation

    def next_generation(ranked, steps, rng) -> list[Segment]:
        fit = [member for member in ranked if np.isfinite(member[1].loss)]
        generation = [go_on(i, segment, steps) for i, segment in fit[: size - worst]]
        # In a tiny finite space children can coincide; those that keep doing so are left out.
        for _ in range(100 * size):
            if len(generation) == size:
                break
            i, parent = fit[rng.integers(min(worst, len(fit)))]
            child = go_on(i, parent._replace(setting=explored(parent.setting, rng)), steps)
            generation += [] if child in generation else [child]
        return generation

    def explored(setting: tuple[float, ...], rng) -> tuple[float, ...]:
        moved = reflect(space.points([setting])[0] + strides * rng.choice([-1.0, 1.0], len(space)))
        anew = rng.random(len(space)) < resample
        return rows(space.from_unit(np.where(anew, rng.random(len(space)), moved)[None]))[0]

    def plan(key, state, n) -> Wanted:
        return fill(
            space,
            key,
            state,
            n,
            first_rung=lambda cohort: (size, ends[0]),
            ready=lambda cohort, members: ready(key, cohort, members),
        )

    return make_search(space, plan)


def _check(size: int, interval: int, max_steps: int, truncation: float, **shares: float) -> None:
    if size < 2:
        raise ValueError(f"population: size must be >= 2, got {size}")
    if not 1 <= interval <= max_steps:
        raise ValueError(f"population: interval must be in [1, max_steps], got {interval} and {max_steps}")
    if not 0 < truncation <= 0.5:
        raise ValueError(f"population: truncation must be in (0, 0.5], got {truncation:g}")
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"population: {name} must be in [0, 1], got {value:g}")


def reflect(u: np.ndarray) -> np.ndarray:
    """Back into the unit interval, mirrored at its ends."""
    return 1 - np.abs(1 - np.abs(u))
