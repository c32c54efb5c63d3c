"""The frame that all schedules share: warm-up, the schedule itself, and a rate that is held at the end.

    rate(t) = init_value + (first_value - init_value) t / warmup_steps     t < warmup_steps
              body(t)                                                      warmup_steps <= t < num_steps
              end_value                                                    t >= num_steps

The two outer cases are chosen by comparison and not by the arithmetic of `body`, hence
they hold to the last bit on every backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from optim.range import Scalar

Rate = Float[Array, ""]


def with_phases(
    body: Callable[[Rate], Rate],
    *,
    first_value: Scalar,
    end_value: Scalar,
    num_steps: Scalar,
    warmup_steps: Scalar,
    init_value: Scalar,
) -> optax.Schedule:
    """Puts `body` between a linear warm-up to `first_value` and `end_value` held from `num_steps` on.

    Args:
      body: step -> rate; must be finite at every step >= 0, since it is also
        computed where it is not used. Step counts from 0, warm-up included.
      first_value: rate at the end of the warm-up.
      end_value: rate at `num_steps` and beyond.
      num_steps: length of the whole schedule, warm-up included.
      warmup_steps: length of the warm-up; 0 for none.
      init_value: rate at step 0 when there is a warm-up.

    Returns:
      Schedule: step (integer or float, 0-d) -> rate, float32 (float64 where x64 is on).
    """

    def schedule(step: Any) -> Rate:
        dtype = jnp.result_type(float)
        step = jnp.asarray(step, dtype)
        warmup = interpolate(init_value, first_value, progress(step, 0, warmup_steps))
        rate = jnp.where(step < warmup_steps, warmup, body(step))
        return jnp.where(step < num_steps, rate, end_value).astype(dtype)

    return schedule


def progress(step: Scalar, begin: Scalar, end: Scalar) -> Rate:
    """Part of the way from step `begin` to step `end`, in [0, 1]; no NaN for a phase of length 0."""
    length = jnp.maximum(jnp.asarray(end, jnp.result_type(float)) - begin, 1)
    return jnp.clip((step - begin) / length, 0, 1)


def interpolate(start: Scalar, stop: Scalar, part: Rate) -> Rate:
    """Straight line, `start` at part 0 and `stop` at part 1, both to the last bit."""
    return (1 - part) * start + part * stop


def half_cosine(part: Scalar) -> Rate:
    """1 at part 0, 0 at part 1, along half a period of a cosine."""
    return 0.5 * (1 + jnp.cos(jnp.pi * part))
