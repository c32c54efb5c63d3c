"""Switches of JAX under which lanes cannot run."""

from __future__ import annotations

import jax

from lr_batch.errors import StudyError

WHY = {
    "jax_enable_x64": "trials train in float32, double precision is not supported",
    "jax_debug_nans": "records of trials that diverged are NaN, at which it would stop",
    "jax_debug_infs": "steps to a goal that nothing reached are infinite, at which it would stop",
    "jax_disable_jit": "trials are compiled programs",
}


def check_switches() -> None:
    """Raises StudyError, in one line, for a switch that is on and must not be."""
    for name, why in WHY.items():
        if getattr(jax.config, name):
            raise StudyError(
                f"{name} is on: {why}; leave it off (unset {name.upper()}, or jax.config.update)"
            )
