"""Switches of JAX under which lanes cannot run."""

from __future__ import annotations

import jax

from lr_batch.errors import StudyError
from lr_batch.problem.precision import FLOAT32, FLOAT64

WHY = {
    "jax_numpy_dtype_promotion": "the engine, and Optax's optimizers, multiply numbers of several types",
    "jax_enable_x64": "trials train in float32; Study(precision='float64') and --precision float64 take double precision",
    "jax_debug_nans": "records of trials that diverged are NaN, at which it would stop",
    "jax_debug_infs": "steps to a goal that nothing reached are infinite, at which it would stop",
    "jax_disable_jit": "trials are compiled programs",
}


def check_switches(precision: str = FLOAT32) -> None:
    """Raises StudyError, in one line, for a switch that is on and must not be, at the precision of a study."""
    for name, why in WHY.items():
        wanted = name == "jax_enable_x64" and precision == FLOAT64
        value = getattr(jax.config, name)
        if value not in (False, "standard") and not wanted:
            raise StudyError(
                f"{name} is {'on' if value is True else value}: {why}; leave it off (unset {name.upper()}, or "
                "jax.config.update)"
            )
