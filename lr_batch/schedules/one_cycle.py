"""The one-cycle policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax

from lr_batch.schedules.bounds import is_traced, schedule_factory
from lr_batch.schedules.phases import Rate, half_cosine, interpolate, progress, with_phases
from optim.range import NON_NEGATIVE, Choice, Scalar

PEAK_OVER_INIT = 25.0  # fastai's and PyTorch's `div_factor`
INIT_OVER_END = 1e4  # PyTorch's `final_div_factor`: "several orders of magnitude" (Smith & Topin, 2017)


class Corners(NamedTuple):
    """Where a cycle begins, peaks and ends: rates at steps 0, `summit` and `num_steps`."""

    init_value: Scalar
    peak_value: Scalar
    end_value: Scalar
    summit: Scalar
    num_steps: Scalar


@schedule_factory(end_value=NON_NEGATIVE, anneal=Choice(("linear", "cosine")))
def one_cycle(
    peak_value: Scalar,
    num_steps: Scalar,
    end_value: Scalar | None = None,
    *,
    warmup_steps: Scalar | None = None,
    init_value: Scalar | None = None,
    anneal: str = "linear",
) -> optax.Schedule:
    """One rise and one fall over the whole training, the rise being its warm-up.

    Two conventions. `anneal="linear"`, that of Smith & Topin (2017, section 3): i -> eta in w
    steps, eta -> i in as many, then i -> e in what is left, all straight. `anneal="cosine"`,
    that of fastai and PyTorch: i -> eta in w steps, eta -> e in what is left, each half a cosine.

    >>> schedule = one_cycle(1.0, 100, 0.0, warmup_steps=40, init_value=0.2)
    >>> [round(float(schedule(step)), 4) for step in (0, 20, 40, 60, 80, 90, 100)]
    [0.2, 0.6, 1.0, 0.6, 0.2, 0.1, 0.0]

    Args:
      peak_value: eta, in (0, inf).
      num_steps: N, whole number >= 1.
      end_value: e, rate from step N on, in [0, inf); i / 10,000 by default.
      warmup_steps: w, length of the rise, whole number in [0, N), linear: at most N / 2;
        by default 0.45 N (linear) or 0.3 N (cosine), rounded.
      init_value: i, rate at step 0, in [0, inf); `peak_value` / 25 by default.
      anneal: "linear" or "cosine".

    Returns:
      Schedule: step -> rate.

    Raises:
      ValueError: `anneal` is neither of the two, or an argument is out of its range.
    """
    init_value = peak_value / PEAK_OVER_INIT if init_value is None else init_value
    end_value = init_value / INIT_OVER_END if end_value is None else end_value
    shape = ANNEALS[anneal]
    summit = jnp.round(shape.summit * num_steps) if warmup_steps is None else warmup_steps
    shape.check(summit, num_steps)
    corners = Corners(init_value, peak_value, end_value, summit, num_steps)
    return with_phases(
        lambda step: shape.rate(step, corners),
        first_value=init_value,
        end_value=end_value,
        num_steps=num_steps,
        warmup_steps=0,  # the rise is part of the shape
        init_value=init_value,
    )


def _straight_lines(step: Rate, corners: Corners) -> Rate:
    """Up, down in as many steps, and a tail below where it began."""
    low, high, end, summit, num_steps = corners
    rise = interpolate(low, high, progress(step, 0, summit))
    fall = interpolate(high, low, progress(step, summit, 2 * summit))
    tail = interpolate(low, end, progress(step, 2 * summit, num_steps))
    return jnp.where(step < summit, rise, jnp.where(step < 2 * summit, fall, tail))


def _half_cosines(step: Rate, corners: Corners) -> Rate:
    """Up, and down all the way."""
    low, high, end, summit, num_steps = corners
    rise = interpolate(high, low, half_cosine(progress(step, 0, summit)))
    fall = interpolate(end, high, half_cosine(progress(step, summit, num_steps)))
    return jnp.where(step < summit, rise, fall)


class Anneal(NamedTuple):
    """A shape of the cycle; `summit` is where it peaks by default, `latest` where it may, in parts of N."""

    rate: Callable[[Rate, Corners], Rate]
    summit: float
    latest: float

    def check(self, summit: Scalar, num_steps: Scalar) -> None:
        """Refuses a rise that leaves no room for the fall."""
        if not is_traced(summit) and not is_traced(num_steps) and summit > self.latest * num_steps:
            raise ValueError(
                f"one_cycle: warmup_steps must be at most {self.latest:g} num_steps, "
                f"got {summit} of {num_steps} steps"
            )


ANNEALS = {"linear": Anneal(_straight_lines, 0.45, 0.5), "cosine": Anneal(_half_cosines, 0.3, 1.0)}
