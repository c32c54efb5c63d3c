"""What the conformance suite knows about each regularizer, and the small problems it is tried on."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from lr_batch import Goal, Workload, from_arrays
from lr_batch.engine import MicroBatch
from reg import REGULARIZERS, Regularizer

STEPS = 18  # past the second time that pruning chooses


class Row(NamedTuple):
    """A regularizer and the flags of its tests.

    on: hyperparameters at which it does something within a few steps of the problem below.
    smooth: its loss is deterministic and differentiable, so finite differences apply.
    """

    regularizer: Regularizer
    on: dict[str, float]
    smooth: bool = False


ON = {
    "l2": 0.1,
    "weight_decay": 0.5,
    "l1": 0.05,
    "elastic_net": 0.05,
    "group_lasso": 0.05,
    "spectral_norm": 0.1,
    "max_norm": 0.5,
    "l2_ball": 1.0,
    "l1_ball": 5.0,
    "dropout": 0.4,
    "drop_connect": 0.4,
    "stochastic_depth": 0.5,
    "label_smoothing": 0.2,
    "confidence_penalty": 0.3,
    "focal": 2.0,
    "mixup": 0.5,
    "cutout": 2.0,
    "random_crop": 1.0,
    "random_flip": 0.5,
    "gradient_noise": 0.01,
    "clip_norm": 0.05,
    "early_stopping": 2.0,
    "ema": 0.9,
    "swa": 2.0,
    "pruning": 0.5,
    "sam": 0.1,
}
SMOOTH = ("l2", "label_smoothing", "confidence_penalty", "focal")
MORE = {"swa": {"swa_every": 1.0}, "pruning": {"prune_steps": 2.0}}
ROWS = {
    name: Row(row, {row.strength: ON[name], **MORE.get(name, {})}, name in SMOOTH)
    for name, row in REGULARIZERS.items()
}


class Block(nn.Module):
    """x + tanh(Wx)."""

    @nn.compact
    def __call__(self, x):
        return x + jnp.tanh(nn.Dense(x.shape[-1])(x))


class Net(nn.Module):
    """A dense layer, a residual block, logits."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(Block()(nn.relu(nn.Dense(8)(x))))


def tiny() -> Workload:
    """48 rows of 16 pixels in 3 classes, all but 12 of them for training."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 48).astype(np.int32)
    x = (rng.normal(size=(48, 16)) + y[:, None] * np.linspace(-1, 1, 16)).astype(np.float32)
    return from_arrays(
        Net(),
        train=(x[:36], y[:36]),
        held_out=(x[36:], y[36:]),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        goal=Goal("loss", 0.01),
        name="tiny",
        budget=STEPS,
        batch_sizes=(4,),
    )


def train(workload: Workload, optimizer, hparams, num_steps: int = STEPS, seed: int = 1):
    """Parameters to evaluate after some steps of one lane of the engine."""
    from lr_batch.engine import Draw, make_lane

    lane = make_lane(workload, optimizer, "loss", micro_batches=(MicroBatch(4),))
    seed = jnp.int32(seed)
    state = lane.init(hparams, seed, jnp.bool_(True))
    data = jax.tree.map(jnp.asarray, workload.train_data)
    draw = Draw.first(seed, 36)

    def step(_, carry):
        state, draw = carry
        return lane.step(hparams, state, draw, jnp.int32(8), data), draw.next(jnp.int32(8))

    state, _ = jax.lax.fori_loop(0, num_steps, step, (state, draw))
    return lane.outcome(state)
