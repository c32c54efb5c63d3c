"""Inverse square root decay."""

from __future__ import annotations

import math

import jax.numpy as jnp
import optax

from lr_batch.schedules.bounds import Steps, schedule_factory
from lr_batch.schedules.phases import Rate, with_phases
from optim.range import POSITIVE, Scalar


@schedule_factory(num_steps=Steps(1, endless=True), timescale=POSITIVE)
def inverse_sqrt(
    peak_value: Scalar,
    num_steps: Scalar = math.inf,
    *,
    timescale: Scalar | None = None,
    warmup_steps: Scalar = 0,
    init_value: Scalar = 0.0,
) -> optax.Schedule:
    """Decays without knowing the end: eta_t = eta sqrt(tau / (tau + t - w)).

    With tau = w, the default, this is eta sqrt(w / t), the schedule of the Transformer
    (Vaswani et al., 2017, equation 3, whose peak is d_model^-0.5 w^-0.5); a tau of
    its own is the form of Zhai et al. (2022, section 3.5).

    >>> schedule = inverse_sqrt(1.0, warmup_steps=100)
    >>> [round(float(schedule(step)), 4) for step in (0, 50, 100, 400, 10_000)]
    [0.0, 0.5, 1.0, 0.5, 0.1]

    Args:
      peak_value: eta, in (0, inf).
      num_steps: from here on the rate is held, whole number >= 1; infinity for never.
      timescale: tau, in steps, in (0, inf); max(`warmup_steps`, 1) by default.
      warmup_steps: w, linear ramp from `init_value` to eta, whole number in [0, num_steps).
      init_value: rate at step 0 when there is a warm-up, in [0, inf).

    Returns:
      Schedule: step -> rate.
    """
    timescale = jnp.maximum(warmup_steps, 1) if timescale is None else timescale

    def body(step: Rate) -> Rate:
        return peak_value * jnp.sqrt(timescale / (timescale + jnp.maximum(step - warmup_steps, 0)))

    return with_phases(
        body,
        first_value=peak_value,
        end_value=body(jnp.asarray(num_steps, jnp.result_type(float))),
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        init_value=init_value,
    )
