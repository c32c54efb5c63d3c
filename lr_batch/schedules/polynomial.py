"""Polynomial decay."""

from __future__ import annotations

import optax

from lr_batch.schedules.bounds import schedule_factory
from lr_batch.schedules.phases import Rate, interpolate, progress, with_phases
from optim.range import NON_NEGATIVE, POSITIVE, Scalar


@schedule_factory(end_value=NON_NEGATIVE, power=POSITIVE)
def polynomial(
    peak_value: Scalar,
    num_steps: Scalar,
    end_value: Scalar = 0.0,
    *,
    power: Scalar = 2.0,
    warmup_steps: Scalar = 0,
    init_value: Scalar = 0.0,
) -> optax.Schedule:
    """Decays as a power of what is left: eta_t = e + (eta - e) (1 - (t - w) / (N - w))^q.

    Power 2 is what LARS was trained with (You et al., 2017, section 5).

    >>> schedule = polynomial(1.0, 100)
    >>> [round(float(schedule(step)), 4) for step in (0, 50, 90, 100)]
    [1.0, 0.25, 0.01, 0.0]

    Args:
      peak_value: eta, in (0, inf).
      num_steps: N, length with the warm-up, whole number >= 1.
      end_value: e, rate from step N on, in [0, inf).
      power: q, in (0, inf); 1 is linear.
      warmup_steps: w, linear ramp from `init_value` to eta, whole number in [0, N).
      init_value: rate at step 0 when there is a warm-up, in [0, inf).

    Returns:
      Schedule: step -> rate.
    """

    def body(step: Rate) -> Rate:
        left = 1 - progress(step, warmup_steps, num_steps)
        return interpolate(end_value, peak_value, left**power)

    return with_phases(
        body,
        first_value=peak_value,
        end_value=end_value,
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        init_value=init_value,
    )
