"""Linear decay."""

from __future__ import annotations

import optax

from lr_batch.schedules.bounds import schedule_factory
from lr_batch.schedules.phases import interpolate, progress, with_phases
from optim.range import NON_NEGATIVE, Scalar


@schedule_factory(end_value=NON_NEGATIVE)
def linear(
    peak_value: Scalar,
    num_steps: Scalar,
    end_value: Scalar = 0.0,
    *,
    warmup_steps: Scalar = 0,
    init_value: Scalar = 0.0,
) -> optax.Schedule:
    """Straight line from eta to e: eta_t = eta + (e - eta) (t - w) / (N - w).

    The decay of Shallue et al. (2019) for its image models; with `end_value` above
    `peak_value` it is the rate range test of Smith (2017, section 3.3).

    >>> schedule = linear(1.0, 100, 0.2)
    >>> [round(float(schedule(step)), 4) for step in (0, 50, 100, 200)]
    [1.0, 0.6, 0.2, 0.2]

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
        lambda step: interpolate(peak_value, end_value, progress(step, warmup_steps, num_steps)),
        first_value=peak_value,
        end_value=end_value,
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        init_value=init_value,
    )
