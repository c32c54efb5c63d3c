"""Cyclic rate: a triangle wave."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from lr_batch.schedules.bounds import FRACTION, Steps, schedule_factory
from lr_batch.schedules.phases import Rate, interpolate, progress, with_phases
from optim.range import NON_NEGATIVE, Scalar

BASE_OVER_PEAK = 0.25  # "1/3 or 1/4" (Smith, 2017, section 3.3)


@schedule_factory(end_value=NON_NEGATIVE, num_cycles=Steps(1), shrink=FRACTION)
def cyclic(
    peak_value: Scalar,
    num_steps: Scalar,
    end_value: Scalar | None = None,
    *,
    num_cycles: Scalar = 4,
    shrink: Scalar = 1.0,
    warmup_steps: Scalar = 0,
    init_value: Scalar = 0.0,
) -> optax.Schedule:
    """Up and down between a base e and a peak: eta_t = e + (eta - e) s^c (1 - |x|).

    x goes from -1 to 1 along cycle c = 0, 1, ..., so a cycle starts and ends at the base
    and has its peak in the middle (Smith, 2017, section 3.1). Shrink 1 is his `triangular`
    policy, 1/2 his `triangular2`.

    >>> schedule = cyclic(1.0, 40, 0.2, num_cycles=2)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 20, 30, 40)]
    [0.2, 0.6, 1.0, 0.2, 1.0, 0.2]

    Args:
      peak_value: eta, in (0, inf).
      num_steps: N, length with the warm-up, whole number >= 1.
      end_value: e, base of the cycles and rate from step N on, in [0, inf); `peak_value` / 4 by default.
      num_cycles: whole number >= 1.
      shrink: s, the height of a cycle over that of the one before, in (0, 1].
      warmup_steps: linear ramp from `init_value` to e, whole number in [0, N); the cycles share the rest.
      init_value: rate at step 0 when there is a warm-up, in [0, inf).

    Returns:
      Schedule: step -> rate.
    """
    base = BASE_OVER_PEAK * peak_value if end_value is None else end_value

    def body(step: Rate) -> Rate:
        phase = progress(step, warmup_steps, num_steps) * num_cycles
        cycle = jnp.floor(phase)
        height = 1 - jnp.abs(2 * (phase - cycle) - 1)
        return interpolate(base, peak_value, shrink**cycle * height)

    return with_phases(
        body,
        first_value=base,
        end_value=base,
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        init_value=init_value,
    )
