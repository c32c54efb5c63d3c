"""Identity of a configuration, however its numbers were written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from optim.arguments import explain_arguments


@explain_arguments
def config_hash(setting: Mapping[str, float]) -> str:
    """16 hex digits, equal for settings that a lane cannot tell apart.

    Lanes train in float32, so two values that round to the same float32 are one
    configuration; the order of the names does not matter.

    >>> config_hash({"lr": 0.1, "b1": 0}) == config_hash({"b1": -0.0, "lr": 1e-1})
    True
    """
    # Adding 0.0 turns -0.0 into 0.0.
    seen = {name: float(np.float32(value)) + 0.0 for name, value in setting.items()}
    canonical = ";".join(f"{name}={seen[name].hex()}" for name in sorted(seen))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
