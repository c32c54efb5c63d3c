"""Quadratic with gradient noise; its steps to goal are known (`lr_batch.workloads.noisy_quadratic_theory`)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.problem.workload import Goal, Key, Workload

BITS = 32


def noisy_quadratic(dim: int = 64, replicas: int = 128) -> Workload:
    """Curvature h_i = 1/i, gradient noise of covariance diag(h) / batch_size (Zhang et al., 2019, section 3).

    L(w) = 1/2 sum_i h_i w_i^2, w_0 ~ N(0, I), goal L < 0.01. Example e has the
    loss L(w) + sum_i sqrt(h_i) eps_ei w_i with independent signs eps_ei = +-1.
    The paper draws normal noise; for linear methods the expected loss depends on
    the variance alone, and a sign costs one random bit.

    One trial holds many independent copies of w, each with its own noise, and is
    trained on the sum and evaluated on the mean of their losses: the mean of 128
    copies crosses the goal within about 4 % of where the expected loss does.

    Args:
      dim: coordinates of w, >= 1. The paper has 10^4; 64 keep the three regimes
        within batch sizes 1 to 1,024.
      replicas: copies of w, >= 1.
    """
    if dim < 1 or replicas < 1:
        raise ValueError(f"noisy_quadratic: dim and replicas must be >= 1, got {dim} and {replicas}")
    h = np.tile(1.0 / np.arange(1, dim + 1, dtype=np.float32), replicas)

    def total(w):
        # A product with h, because XLA on CPU reduces a plain sum one element at a time.
        return 0.5 * (w * w) @ h

    def loss(params, batch, key):
        w = params["w"].reshape(-1)
        noise = random_signs(key, len(batch["example"]), dim * replicas) * np.sqrt(h)[None]
        return total(w) + noise @ w

    def evaluate(params, batch):
        return {"loss": jnp.full(len(batch["example"]), total(params["w"].reshape(-1)) / replicas)}

    return Workload(
        name="noisy_quadratic",
        init=lambda key: {"w": jax.random.normal(key, (replicas, dim))},
        loss=loss,
        evaluate=evaluate,
        train_data={"example": np.arange(2**16, dtype=np.int32)},  # Noise comes from the key.
        eval_data={"example": np.zeros(1, np.int32)},
        goal=Goal("loss", 0.01),
        budget=100_000,
    )


def random_signs(key: Key, rows: int, columns: int) -> jax.Array:
    """Independent +1 and -1, `[rows, columns]` in float32, from one random bit each."""
    words = jax.random.bits(key, (rows, -(-columns // BITS)), jnp.uint32)
    bits = (words[..., None] >> jnp.arange(BITS, dtype=jnp.uint32)[None, None]) & 1
    return 2.0 * bits.reshape(rows, -1)[:, :columns].astype(jnp.float32) - 1.0
