"""Cosine decay with warm restarts."""

from __future__ import annotations

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from lr_batch.schedules.bounds import Steps, schedule_factory
from lr_batch.schedules.phases import Rate, half_cosine, interpolate, progress, with_phases
from optim.range import NON_NEGATIVE, POSITIVE, Scalar

MAX_CYCLES = 64  # the shape that serves every number of them


@schedule_factory(end_value=NON_NEGATIVE, num_cycles=Steps(1, MAX_CYCLES), cycle_mult=POSITIVE)
def cosine_restarts(
    peak_value: Scalar,
    num_steps: Scalar,
    end_value: Scalar = 0.0,
    *,
    num_cycles: Scalar = 3,
    cycle_mult: Scalar = 2.0,
    warmup_steps: Scalar = 0,
    init_value: Scalar = 0.0,
) -> optax.Schedule:
    """SGDR: eta_t = e + (eta - e) (1 + cos(pi T_cur / T_i)) / 2 (Loshchilov & Hutter, 2017, equation 5).

    T_cur counts the steps since the last restart, and cycle i + 1 is `cycle_mult`
    times as long as cycle i. Departure from the paper: it names the length of the
    first cycle, we the length of all of them, so that the last one ends with the training.

    >>> schedule = cosine_restarts(1.0, 70)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 20, 30, 50, 70)]
    [1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 0.0]

    Args:
      peak_value: eta, in (0, inf).
      num_steps: N, length with the warm-up, whole number >= 1.
      end_value: e, what each cycle falls towards and the rate from step N on, in [0, inf).
      num_cycles: whole number in [1, 64].
      cycle_mult: T_mult, in (0, inf); 1 for cycles of equal length.
      warmup_steps: w, linear ramp from `init_value` to eta, whole number in [0, N).
      init_value: rate at step 0 when there is a warm-up, in [0, inf).

    Returns:
      Schedule: step -> rate; a restart is on a whole step and has the rate eta.
    """

    def body(step: Rate) -> Rate:
        corners = _corners(warmup_steps, num_steps, num_cycles, cycle_mult)
        cycle = jnp.clip((corners <= step).sum() - 1, 0, num_cycles - 1).astype(jnp.int32)
        part = progress(step, corners[cycle], corners[cycle + 1])
        return interpolate(end_value, peak_value, half_cosine(part))

    return with_phases(
        body,
        first_value=peak_value,
        end_value=end_value,
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        init_value=init_value,
    )


def _corners(begin: Scalar, end: Scalar, num_cycles: Scalar, cycle_mult: Scalar) -> Float[Array, " corners"]:
    """First step of each cycle, and the end of the last one, from there on again and again."""
    cycle = jnp.arange(MAX_CYCLES)
    inside = cycle < num_cycles
    lengths = jnp.where(
        inside, jnp.asarray(cycle_mult, jnp.result_type(float)) ** jnp.where(inside, cycle, 0), 0
    )
    ends = jnp.cumsum(lengths) / lengths.sum() * (end - begin)
    return begin + jnp.round(jnp.concatenate([jnp.zeros(1, ends.dtype), ends]))
