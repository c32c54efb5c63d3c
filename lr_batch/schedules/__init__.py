"""Learning rate schedules: step -> rate, by name in `SCHEDULES`.

Every factory is called `factory(peak_value, num_steps, ...)`. `num_steps` is the whole
training, warm-up included; `warmup_steps` of it ramp linearly from `init_value` (0) to where
the schedule begins, and from `num_steps` on the rate is held. Every value and length may be
a traced array, so lanes may differ in them; what is static says so. Rates are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import optax

from lr_batch.schedules.constant import constant
from lr_batch.schedules.cosine import cosine
from lr_batch.schedules.cosine_restarts import cosine_restarts
from lr_batch.schedules.cyclic import cyclic
from lr_batch.schedules.exponential import exponential
from lr_batch.schedules.inverse_sqrt import inverse_sqrt
from lr_batch.schedules.linear import linear
from lr_batch.schedules.one_cycle import one_cycle
from lr_batch.schedules.polynomial import polynomial
from lr_batch.schedules.step import step
from lr_batch.schedules.warmup_stable_decay import warmup_stable_decay
from optim.names import Registry

ScheduleFactory = Callable[..., optax.Schedule]


SCHEDULES: Mapping[str, ScheduleFactory] = Registry(
    "schedule",
    {
        "constant": constant,
        "step": step,
        "linear": linear,
        "exponential": exponential,
        "polynomial": polynomial,
        "cosine": cosine,
        "cosine_restarts": cosine_restarts,
        "cyclic": cyclic,
        "one_cycle": one_cycle,
        "inverse_sqrt": inverse_sqrt,
        "warmup_stable_decay": warmup_stable_decay,
    },
)

__all__ = ["SCHEDULES", "ScheduleFactory", *SCHEDULES]
