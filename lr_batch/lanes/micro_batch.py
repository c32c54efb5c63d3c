"""How many examples are differentiated at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int


class Ladder(NamedTuple):
    """`rungs` are the sizes that a program can choose from; `overhead` is what a micro-batch costs beside its
    examples, in examples, since all lanes read and write their parameters for it; `mixed` says whether a program may
    have some of its micro-batches in loops and others not."""

    rungs: tuple[int, ...]
    overhead: int
    mixed: bool


class MicroBatch(NamedTuple):
    """Examples differentiated at once; `repeated` in a loop, or unrolled where each batch needs exactly one."""

    examples: int
    repeated: bool = True


# On a CPU 64 examples fill its vector units and larger ones only leave its caches. Overhead as measured for
# digits_mlp, where 4 examples one by one take 0.65 of the time of 16. Out of a loop gradients come in another layout: of
# both kinds in one program one is copied, and a step at batch size 1 takes twice as long.
LADDERS = {"cpu": Ladder((1, 16, 64), 3, mixed=False)}
# An accelerator computes idle rows in the time that it takes to start its kernels: as few micro-batches as there can be.
ACCELERATOR_LADDER = Ladder((16, 64, 256, 1024, 4096), 4096, mixed=True)


def ladder() -> Ladder:
    """Of the backend in use."""
    return LADDERS.get(jax.default_backend(), ACCELERATOR_LADDER)


def rungs_of(group: int, own: Ladder) -> tuple[int, ...]:
    """The rungs of a ladder as multiples of a group of examples that are computed together.

    >>> rungs_of(32, LADDERS["cpu"]), rungs_of(1, LADDERS["cpu"])
    ((32, 64), (1, 16, 64))
    """
    return tuple(dict.fromkeys(max(1, rung // group) * group for rung in own.rungs))


def micro_batch_of(batch_size: int, largest: int, group: int = 1, own: Ladder | None = None) -> int:
    """The rung of a ladder, at most `largest` and a multiple of `group`, at which a batch costs least.

    A batch takes as many micro-batches as it needs; the last one is filled up with masked examples. The ladder is
    that of the backend in use, if it is not `own`.

    >>> [micro_batch_of(size, 64) for size in (1, 4, 8, 64, 1000)]
    [1, 1, 16, 64, 64]
    """
    own = own or ladder()
    fitting = [rung for rung in rungs_of(group, own) if rung <= largest] or [group]
    return min(fitting, key=lambda rung: -(-batch_size // rung) * (rung + own.overhead))


def micro_batches_of(batch_sizes: Sequence[int], largest: int, group: int = 1) -> tuple[MicroBatch, ...]:
    """The micro-batches that the batch sizes of a study use, ascending.

    >>> [tuple(micro_batch) for micro_batch in micro_batches_of((4, 8, 64, 1000), 64)]
    [(1, True), (16, True), (64, True)]
    >>> [tuple(micro_batch) for micro_batch in micro_batches_of((8, 16, 64), 64)]
    [(16, False), (64, False)]
    """
    longest: dict[int, int] = {}
    for size in sorted(batch_sizes):
        longest[micro_batch_of(size, largest, group)] = size
    repeated = {rung: size > rung for rung, size in longest.items()}
    if any(repeated.values()) and not ladder().mixed:
        repeated = dict.fromkeys(repeated, True)
    return tuple(MicroBatch(rung, repeated[rung]) for rung in sorted(longest))


def cheapest(batch_size: Int[Array, ""], micro_batches: Sequence[MicroBatch]) -> Int[Array, ""]:
    """Index in `micro_batches` (ascending) of the one that `micro_batch_of` would take; may be traced."""
    rungs = jnp.array([micro_batch.examples for micro_batch in micro_batches], jnp.int32)
    return jnp.argmin(-(-batch_size // rungs) * (rungs + ladder().overhead))
