"""Published workloads on prepared images: panels (a), (b) and (c) of Shallue et al. (2019), figure 1.

Architectures as listed there (appendix B): no normalisation, the simple CNN with
dropout 0.4, both trained at constant rates here, where the paper lets ResNet-8
decay its rate linearly.
"""

from __future__ import annotations

import jax
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float

from lr_batch.problem.from_arrays import from_arrays
from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.cnn import SmallCNN
from lr_batch.workloads.images import load_train_and_held_out
from lr_batch.workloads.layers import Dense
from lr_batch.workloads.patch_conv import PatchConv


def simple_cnn_mnist() -> Workload:
    """Panel (a): two 5x5 convolutions (32 and 64 filters) and 1,024 hidden units; goal: error below 0.01."""
    return _workload("simple_cnn", _simple_cnn(), "mnist", Goal("error", 0.01))


def simple_cnn_fashion_mnist() -> Workload:
    """Panel (b): the same network on Fashion-MNIST; goal: error below 0.10."""
    return _workload("simple_cnn", _simple_cnn(), "fashion_mnist", Goal("error", 0.10))


def resnet8_cifar10() -> Workload:
    """Panel (c): ResNet-8 on CIFAR-10; goal: error below 0.30."""
    return _workload("resnet8", ResNet8(classes=10), "cifar10", Goal("error", 0.30))


class ResNet8(nn.Module):
    """Pre-activation ResNet (He et al., 2016): a block of two 3x3 convolutions for 16, 32 and 64 filters."""

    classes: int

    @nn.compact
    def __call__(self, x: Float[Array | np.ndarray, "m height width channels"]) -> Float[Array, "m classes"]:
        x = PatchConv(16, (3, 3))(x)
        for features, stride in ((16, 1), (32, 2), (64, 2)):
            x = _block(x, features, stride)
        return Dense(self.classes, name="head")(jax.nn.relu(x).mean(axis=(1, 2)))


def _block(
    x: Float[Array, "m height width in"], features: int, stride: int
) -> Float[Array, "m rows columns out"]:
    """x + conv(relu(conv(relu(x)))), the shortcut a 1x1 convolution of the activation where shapes change."""
    active = jax.nn.relu(x)
    same = stride == 1 and x.shape[-1] == features
    shortcut = x if same else PatchConv(features, (1, 1), stride)(active)
    hidden = jax.nn.relu(PatchConv(features, (3, 3), stride)(active))
    return shortcut + PatchConv(features, (3, 3))(hidden)


def _simple_cnn() -> SmallCNN:
    return SmallCNN((32, 64), classes=10, kernel=5, hidden=(1024,), dropout=0.4)


def _workload(network: str, model: nn.Module, data: str, goal: Goal) -> Workload:
    train, held_out = load_train_and_held_out(data)
    return from_arrays(
        model,
        train=train,
        held_out=held_out,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        goal=goal,
        name=f"{network}_{data}",
        budget=200_000,
        batch_sizes=tuple(2**i for i in range(14)),
        micro_batch=256,
        lanes="auto",
    )
