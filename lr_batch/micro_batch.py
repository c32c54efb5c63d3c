"""How many examples are differentiated at once."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

# Sizes that a program can choose from. On a CPU 64 examples fill its vector units and larger ones only leave its
# caches; an accelerator wants as many as there are.
LADDERS = {"cpu": (1, 16, 64)}
ACCELERATOR_LADDER = (1, 16, 256, 4096)
# What a micro-batch costs beside its examples, in examples: lanes read and write all their parameters for it.
OVERHEAD = 8


def micro_batch_of(batch_size: int, largest: int) -> int:
    """The rung of the ladder, at most `largest`, at which a batch costs least.

    A batch takes as many micro-batches as it needs; the last one is filled up with masked examples.

    >>> [micro_batch_of(size, 64) for size in (1, 2, 4, 64, 1000)]
    [1, 1, 16, 64, 64]
    """
    ladder = LADDERS.get(jax.default_backend(), ACCELERATOR_LADDER)
    rungs = [rung for rung in ladder if rung <= largest] or [1]
    return min(rungs, key=lambda rung: -(-batch_size // rung) * (rung + OVERHEAD))


def micro_batches_of(batch_sizes: Sequence[int], largest: int) -> tuple[int, ...]:
    """Those that the batch sizes of a study want, ascending.

    >>> micro_batches_of((2, 4, 64, 1000), 64)
    (1, 16, 64)
    """
    return tuple(sorted({micro_batch_of(size, largest) for size in batch_sizes}))


def cheapest(batch_size: Int[Array, ""], micro_batches: Sequence[int]) -> Int[Array, ""]:
    """Index of the one of `micro_batches`, ascending, that `micro_batch_of` would take; inside a program."""
    rungs = jnp.array(micro_batches, jnp.int32)
    return jnp.argmin(-(-batch_size // rungs) * (rungs + OVERHEAD))
