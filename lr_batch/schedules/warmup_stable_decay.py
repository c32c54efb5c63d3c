"""Warm-up, stable, decay (WSD)."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from lr_batch.schedules.bounds import FRACTION, schedule_factory
from lr_batch.schedules.phases import Rate, interpolate, progress, with_phases
from optim.range import NON_NEGATIVE, POSITIVE, Scalar


@schedule_factory(end_value=NON_NEGATIVE, decay_fraction=FRACTION, power=POSITIVE)
def warmup_stable_decay(
    peak_value: Scalar,
    num_steps: Scalar,
    end_value: Scalar = 0.0,
    *,
    decay_fraction: Scalar = 0.2,
    power: Scalar = 1.0,
    warmup_steps: Scalar = 0,
    init_value: Scalar = 0.0,
) -> optax.Schedule:
    """Holds eta, then cools down to e over the last part of the training (Hu et al., 2024, section 4).

        eta_t = eta                           w <= t < T = N - round(d N)
                e + (eta - e) (1 - x^q)       T <= t < N, x = (t - T) / (N - T)

    The cool-downs of Hägele et al. (2024, section 3): q = 1 is linear, q = 1/2 their "1-sqrt".

    >>> schedule = warmup_stable_decay(1.0, 100, warmup_steps=10)
    >>> [round(float(schedule(step)), 4) for step in (0, 10, 80, 90, 100)]
    [0.0, 1.0, 1.0, 0.5, 0.0]

    Args:
      peak_value: eta, in (0, inf).
      num_steps: N, length of all three phases, whole number >= 1.
      end_value: e, rate from step N on, in [0, inf).
      decay_fraction: d, part of N that the cool-down takes, in (0, 1]; it never begins before w.
      power: q, in (0, inf).
      warmup_steps: w, linear ramp from `init_value` to eta, whole number in [0, N).
      init_value: rate at step 0 when there is a warm-up, in [0, inf).

    Returns:
      Schedule: step -> rate.
    """

    def body(step: Rate) -> Rate:
        decay_begin = jnp.maximum(num_steps - jnp.round(decay_fraction * num_steps), warmup_steps)
        return interpolate(peak_value, end_value, progress(step, decay_begin, num_steps) ** power)

    return with_phases(
        body,
        first_value=peak_value,
        end_value=end_value,
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        init_value=init_value,
    )
