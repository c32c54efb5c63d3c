"""The devices that the user has asked JAX for, found before anything else is done."""

from __future__ import annotations

import os
import re

from runs.parse import UsageError


def use_device(asked: str | None) -> None:
    """Makes JAX take what `--device` names and nothing else; before it has looked for devices.

    Raises:
      UsageError: one line.
    """
    if asked is None:
        return
    found = re.fullmatch(r"cpu|gpu(?::(\d+))?", asked)
    if not found:
        raise UsageError(f"--device: must look like cpu, gpu or gpu:0, got {asked!r}")
    import jax

    if asked == "cpu":
        jax.config.update("jax_platforms", "cpu")
        return
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if found[1]:
        number = int(found[1])
        if visible and number >= len(visible):
            raise UsageError(
                f"--device {asked}: CUDA_VISIBLE_DEVICES shows {len(visible)} devices, from gpu:0 on"
            )
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[number] if visible else str(number)
    try:
        jax.devices("gpu")
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"--device {asked}: there is none that JAX can use here: {said}; take cpu"
        ) from error


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
