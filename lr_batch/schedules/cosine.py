"""Cosine decay."""

from __future__ import annotations

import optax

from lr_batch.schedules.bounds import schedule_factory
from lr_batch.schedules.phases import half_cosine, interpolate, progress, with_phases
from optim.range import NON_NEGATIVE, Scalar


@schedule_factory(end_value=NON_NEGATIVE)
def cosine(
    peak_value: Scalar,
    num_steps: Scalar,
    end_value: Scalar = 0.0,
    *,
    warmup_steps: Scalar = 0,
    init_value: Scalar = 0.0,
) -> optax.Schedule:
    """Half a cosine from eta to e: eta_t = e + (eta - e) (1 + cos(pi (t - w) / (N - w))) / 2.

    One cycle of SGDR (Loshchilov & Hutter, 2017, equation 5), without restart.

    >>> schedule = cosine(1.0, 110, warmup_steps=10)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 60, 110)]
    [0.0, 0.5, 1.0, 0.5, 0.0]

    Args:
      peak_value: eta, in (0, inf).
      num_steps: N, length with the warm-up, whole number >= 1.
      end_value: e, rate from step N on, in [0, inf).
      warmup_steps: w, linear ramp from `init_value` to eta, whole number in [0, N).
      init_value: rate at step 0 when there is a warm-up, in [0, inf).

    Returns:
      Schedule: step -> rate.
    """
    return with_phases(
        lambda step: interpolate(end_value, peak_value, half_cosine(progress(step, warmup_steps, num_steps))),
        first_value=peak_value,
        end_value=end_value,
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        init_value=init_value,
    )
