"""Numbers that look random and are a function of where they stand: the same on the device and on the host."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio
BITS = 24  # of a number, as many as a float32 holds


def mix(x: Any, xp: Any = jnp) -> Any:
    """Finaliser of MurmurHash3 (Appleby, 2011): every input bit flips each output bit with probability 1/2."""
    x = (x ^ (x >> 16)) * xp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * xp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def uniforms(
    seed: int, epochs: Int[np.ndarray, " m"], examples: Int[np.ndarray, " m"], count: int
) -> Float[np.ndarray, "m count"]:
    """Numbers in [0, 1) of examples in epochs, on the host; each row is a function of seed, epoch and example alone.

    >>> bool((uniforms(0, np.array([3]), np.array([7]), 2) == uniforms(0, np.array([3]), np.array([7]), 5)[:, :2]).all())
    True
    """
    columns = np.arange(1, count + 1, dtype=np.uint32)
    key = mix(np.full(1, seed, np.uint32) + np.uint32(GOLDEN), np)
    for part in (epochs, examples):
        key = mix(mix(key ^ part.astype(np.uint32), np) + np.uint32(GOLDEN), np)
    mixed = mix(key[:, None] ^ mix(columns * np.uint32(GOLDEN), np), np)
    return (mixed >> np.uint32(32 - BITS)).astype(np.float32) / np.float32(2**BITS)
