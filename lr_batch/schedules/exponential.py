"""Exponential decay."""

from __future__ import annotations

import optax

from lr_batch.schedules.bounds import schedule_factory
from lr_batch.schedules.phases import Rate, progress, with_phases
from optim.range import POSITIVE, Scalar

END_OVER_PEAK = 1e-2  # by default: the two tenfold cuts of the usual step decay, spread out


@schedule_factory(end_value=POSITIVE)
def exponential(
    peak_value: Scalar,
    num_steps: Scalar,
    end_value: Scalar | None = None,
    *,
    warmup_steps: Scalar = 0,
    init_value: Scalar = 0.0,
) -> optax.Schedule:
    """Loses the same fraction every step: eta_t = eta (e / eta)^((t - w) / (N - w)).

    A straight line on a logarithmic axis. Optax's `exponential_decay` names the
    loss per `transition_steps` where this one names where it ends.

    >>> schedule = exponential(1.0, 100, 0.01)
    >>> [round(float(schedule(step)), 4) for step in (0, 50, 100, 200)]
    [1.0, 0.1, 0.01, 0.01]

    Args:
      peak_value: eta, in (0, inf).
      num_steps: N, length with the warm-up, whole number >= 1.
      end_value: e, rate from step N on, in (0, inf); `peak_value` / 100 by default.
      warmup_steps: w, linear ramp from `init_value` to eta, whole number in [0, N).
      init_value: rate at step 0 when there is a warm-up, in [0, inf).

    Returns:
      Schedule: step -> rate.
    """
    end_value = END_OVER_PEAK * peak_value if end_value is None else end_value

    def body(step: Rate) -> Rate:
        return peak_value * (end_value / peak_value) ** progress(step, warmup_steps, num_steps)

    return with_phases(
        body,
        first_value=peak_value,
        end_value=end_value,
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        init_value=init_value,
    )
