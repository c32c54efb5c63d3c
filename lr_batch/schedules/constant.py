"""The constant rate."""

from __future__ import annotations

import math

import jax.numpy as jnp
import optax

from lr_batch.schedules.bounds import Steps, schedule_factory
from lr_batch.schedules.phases import with_phases
from optim.range import Scalar


@schedule_factory(num_steps=Steps(1, endless=True))
def constant(
    peak_value: Scalar,
    num_steps: Scalar = math.inf,
    *,
    warmup_steps: Scalar = 0,
    init_value: Scalar = 0.0,
) -> optax.Schedule:
    """Stays at one rate: eta_t = eta, after the warm-up.

    >>> schedule = constant(0.1, warmup_steps=10)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 1000)]
    [0.0, 0.05, 0.1, 0.1]

    Args:
      peak_value: eta, in (0, inf).
      num_steps: without effect beyond the check that the warm-up ends before;
        there so that every schedule is called alike. Whole number >= 1, or infinity.
      warmup_steps: w, whole number in [0, num_steps): a linear ramp from `init_value`
        to eta, the gradual warm-up of Goyal et al. (2017, section 2.2).
      init_value: rate at step 0 when there is a warm-up, in [0, inf).

    Returns:
      Schedule: step -> rate.
    """
    return with_phases(
        lambda step: jnp.asarray(peak_value, step.dtype),
        first_value=peak_value,
        end_value=peak_value,
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        init_value=init_value,
    )
