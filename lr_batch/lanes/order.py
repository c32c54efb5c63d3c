"""The order of examples as a pure function of seed and epoch: whole epochs on the device, single places on the host."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from lr_batch.problem.mixing import GOLDEN, mix

# Against an adversary the shuffle needs about 6 log2 N rounds; a data order has none. With 24 rounds an example
# stays unmoved once in 2^24, and tests/lr_batch/test_order.py finds places and neighbours uniform.
_ROUNDS = 24


def _epoch_key(seed: Any, epoch: Any, xp: Any) -> Any:
    return mix(mix(seed.astype(xp.uint32) + xp.uint32(GOLDEN), xp) ^ epoch.astype(xp.uint32), xp)


def _swap_round(r: Any, x: Any, key: Any, n: Any, xp: Any) -> Any:
    """Where round `r` moves the examples at the places `x`; by `jax.numpy` or by NumPy, bit for bit the same."""
    round_key = mix(key + xp.uint32(2) * r.astype(xp.uint32) + xp.uint32(1), xp)
    k = round_key % n
    partner = xp.where(x <= k, k - x, k + (n - x))  # (k - x) mod n without leaving uint32
    swap = mix(xp.maximum(x, partner) ^ mix(round_key ^ r.astype(xp.uint32), xp), xp) >> 31
    return xp.where(swap == 1, partner, x)


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
    key = _epoch_key(seed, epoch, jnp)
    swap_round = lambda r, x: _swap_round(r, x, key, n, jnp)
    positions = jnp.arange(num_examples, dtype=jnp.uint32)
    # On an accelerator one kernel and not three for each round: starting them is what takes the time there.
    unroll = jax.default_backend() != "cpu"
    return jax.lax.fori_loop(0, _ROUNDS, swap_round, positions, unroll=unroll).astype(jnp.int32)


def examples_at(seed: int, positions: Int[np.ndarray, " n"], num_examples: int) -> Int[np.ndarray, " n"]:
    """The examples at some positions of the order of a trial, counted from its first example: `epoch_order` on the host.

    Position p is place p mod N of epoch p // N. Each is computed on its own, so that no table of N examples is held.

    Args:
      seed: of the trial.
      positions: at least 0.
      num_examples: N, at least 1 and below 2^31.

    >>> examples_at(0, np.array([0, 1, 2]), 3).tolist()
    [1, 0, 2]
    """
    n, seeds = np.uint32(num_examples), np.full(1, seed, np.int32)
    key = _epoch_key(seeds, (positions // num_examples).astype(np.int32), np)
    x = (positions % num_examples).astype(np.uint32)
    for r in np.arange(_ROUNDS, dtype=np.int32).reshape(-1, 1):
        x = _swap_round(r, x, key, n, np)
    return x.astype(np.int64)
