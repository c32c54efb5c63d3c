"""Step decay: the rate is cut by a factor at given points of the training."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from lr_batch.schedules.bounds import FRACTION, is_traced, schedule_factory
from lr_batch.schedules.phases import Rate, with_phases
from optim.range import NON_NEGATIVE, Scalar


@schedule_factory(factor=NON_NEGATIVE)
def step(
    peak_value: Scalar,
    num_steps: Scalar,
    *,
    boundaries: tuple[Scalar, ...] = (0.5, 0.75),
    factor: Scalar = 0.1,
    warmup_steps: Scalar = 0,
    init_value: Scalar = 0.0,
) -> optax.Schedule:
    """Piecewise constant: eta_t = eta f^k, with k the number of boundaries b_i N <= t.

    The default is the schedule of ResNet on CIFAR-10: divided by 10 after 32k
    and 48k of 64k steps (He et al., 2015, section 4.2).

    >>> schedule = step(1.0, 100)
    >>> [round(float(schedule(t)), 4) for t in (0, 49, 50, 74, 75, 100)]
    [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]

    Args:
      peak_value: eta, in (0, inf).
      num_steps: N, length with the warm-up, whole number >= 1.
      boundaries: b_i, fractions of N in (0, 1], ascending; each is rounded to
        the nearest whole step. Their number is static: it is a shape.
      factor: f, what the rate is multiplied by at each boundary, in [0, inf).
      warmup_steps: linear ramp from `init_value` to eta, whole number in [0, N);
        a boundary inside the ramp takes effect at its end.
      init_value: rate at step 0 when there is a warm-up, in [0, inf).

    Returns:
      Schedule: step -> rate; from N on eta f^len(boundaries).
    """
    _check_boundaries(boundaries)

    def body(t: Rate) -> Rate:
        passed = jnp.round(jnp.asarray(boundaries, t.dtype) * num_steps) <= t
        return peak_value * factor ** passed.sum()

    return with_phases(
        body,
        first_value=peak_value,
        end_value=body(jnp.asarray(num_steps, jnp.result_type(float))),
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        init_value=init_value,
    )


def _check_boundaries(boundaries: tuple[Scalar, ...]) -> None:
    """Refuses fractions outside (0, 1] and an order that does not ascend, where they are known."""
    if any(map(is_traced, boundaries)):
        return
    for fraction in boundaries:
        FRACTION.check("step", "boundaries", fraction)
    if list(boundaries) != sorted(set(boundaries)):
        raise ValueError(f"step: boundaries must ascend, got {boundaries}")
