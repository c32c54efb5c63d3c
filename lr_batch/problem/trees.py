"""Names for what nearly every signature has: trees of arrays, and keys."""

from __future__ import annotations

from typing import Any

import jax

PyTree = Any
Key = jax.Array
