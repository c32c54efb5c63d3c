"""The order of examples as a pure function of seed and epoch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, UInt

# Against an adversary the shuffle needs about 6 log2 N rounds; a data order has none. With 24 rounds an example
# stays unmoved once in 2^24, and tests/lr_batch/test_order.py finds places and neighbours uniform.
_ROUNDS = 24


def _mix(x: UInt[Array, "..."]) -> UInt[Array, "..."]:
    """Finaliser of MurmurHash3 (Appleby, 2011): every input bit flips each output bit with probability 1/2."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def epoch_order(
    seed: Int[Array, ""], epoch: Int[Array, ""], num_examples: int
) -> Int[Array, " num_examples"]:
    """The examples 0..num_examples-1 in the order in which an epoch visits them.

    A pure function of its arguments, so that a trial resumed at any step sees the examples that it would have seen.

    The swap-or-not shuffle (Hoang, Morris & Rogaway, 2012, figure 1) of every position x at once: in round r the
    partner of x is x' = K_r - x mod N, and x moves to x' where a pseudo-random bit of the larger of the two says so.

    Args:
      seed: of the trial.
      epoch: number of whole passes so far.
      num_examples: N, at least 1 and below 2^31.
    """
    n = jnp.uint32(num_examples)
    key = _mix(_mix(seed.astype(jnp.uint32) + jnp.uint32(0x9E3779B9)) ^ epoch.astype(jnp.uint32))

    def swap_round(r, x):
        round_key = _mix(key + jnp.uint32(2) * r.astype(jnp.uint32) + jnp.uint32(1))
        k = round_key % n
        partner = jnp.where(x <= k, k - x, k + (n - x))  # (k - x) mod n without leaving uint32
        swap = _mix(jnp.maximum(x, partner) ^ _mix(round_key ^ r.astype(jnp.uint32))) >> 31
        return jnp.where(swap == 1, partner, x)

    positions = jnp.arange(num_examples, dtype=jnp.uint32)
    # On an accelerator one kernel and not three for each round: starting them is what takes the time there.
    unroll = jax.default_backend() != "cpu"
    return jax.lax.fori_loop(0, _ROUNDS, swap_round, positions, unroll=unroll).astype(jnp.int32)
