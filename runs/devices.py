"""The devices that the user has asked JAX for, found before anything else is done."""

from __future__ import annotations

import os

from runs.parse import UsageError


def require_devices() -> None:
    """Refuses a JAX_PLATFORMS that this machine does not have; elsewhere JAX takes what there is.

    Raises:
      UsageError: one line.
    """
    asked = os.environ.get("JAX_PLATFORMS", "")
    if asked in ("", "cpu"):
        return
    import jax

    try:
        jax.devices()
    except Exception as error:  # an AssertionError, a RuntimeError: JAX has several, of several pages
        said = (
            str(error).strip().partition("\n")[0] or "its plugin is not installed, or there is no such device"
        )
        raise UsageError(
            f"JAX_PLATFORMS={asked}: JAX cannot start it: {said}; take JAX_PLATFORMS=cpu, or unset it for what there is"
        ) from error
