"""Fully connected networks on the MNIST family; its files are prepared by `lr-batch data prepare`."""

from __future__ import annotations

from collections.abc import Sequence

import optax

from lr_batch.problem.from_arrays import from_arrays
from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.images import load_train_and_held_out
from lr_batch.workloads.mlp import MLP


def fashion_mnist_fc() -> Workload:
    """784-256-256-256-10 ReLU network on Fashion-MNIST; goal: held-out error below 0.15."""
    return _fully_connected("fashion_mnist", (256, 256, 256, 10), Goal("error", 0.15))


def mnist_fc() -> Workload:
    """784-256-256-256-10 ReLU network on MNIST; goal: held-out error below 0.03 (Shallue et al., 2019)."""
    return _fully_connected("mnist", (256, 256, 256, 10), Goal("error", 0.03))


def _fully_connected(data: str, widths: Sequence[int], goal: Goal) -> Workload:
    train, held_out = ((x.reshape(len(x), -1), y) for x, y in load_train_and_held_out(data))
    return from_arrays(
        MLP(widths),
        train=train,
        held_out=held_out,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        goal=goal,
        name=f"{data}_fc",
        budget=50_000,
        batch_sizes=tuple(2**i for i in range(14)),
    )
