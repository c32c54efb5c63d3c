"""ResNet-8 on CIFAR-10: panel (c) of Shallue et al. (2019)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.examples import read_classes
from lr_batch.workloads.layers import Dense
from lr_batch.workloads.panel import DECAYING, SMALL_PICTURES, TINY, Panel, Scale, powers_of_2, small_start
from lr_batch.workloads.patch_conv import PatchConv, mean_pool


class ResNet8(nn.Module):
    """Seven 3x3 convolutions: a stem, and one pre-activation block of two (He et al., 2016) for each of three widths.

    Shortcuts have no parameters: where shapes change, every second pixel, padded with zeros to the new width (their
    option A). No normalisation.

    Attributes:
      classes: number of outputs.
      width: filters of the stem; blocks have once, twice and four times as many.
      shrink: side of the blocks of pixels of which the means are taken first.
    """

    classes: int
    width: int = 16
    shrink: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array | np.ndarray, "m height width channels"], deterministic: bool = True
    ) -> Float[Array, "m classes"]:
        del deterministic  # There is no noise.
        h = PatchConv(self.width, (3, 3))(mean_pool(x, self.shrink))
        for factor, stride in ((1, 1), (2, 2), (4, 2)):
            h = _block(h, factor * self.width, stride)
        head = Dense(self.classes, kernel_init=small_start, name="head")
        return head(jax.nn.relu(h).mean(axis=(1, 2)))


def _block(
    x: Float[Array, "m height width in"], features: int, stride: int
) -> Float[Array, "m rows columns out"]:
    """shortcut(x) + conv(relu(conv(relu(x))))."""
    hidden = PatchConv(features, (3, 3), stride)(jax.nn.relu(x))
    residual = PatchConv(features, (3, 3))(jax.nn.relu(hidden))
    shortcut = x[:, ::stride, ::stride]
    return jnp.pad(shortcut, ((0, 0),) * 3 + ((0, features - x.shape[-1]),)) + residual


PANEL = Panel(
    "cifar10_resnet8",
    "cifar10",
    {
        "base": Scale(
            ResNet8(10),
            (32, 32, 3),
            75_050,
            Goal("error", 0.30),
            powers_of_2(2, 8_192),
            400_000,
            augment=SMALL_PICTURES,
        ),
        TINY: Scale(
            ResNet8(10, width=4, shrink=2),
            (32, 32, 3),
            4_946,
            Goal("error", 0.30),
            powers_of_2(4, 256),
            10_000,
        ),
    },
    read_classes,
    published="seven convolutions with residual connections and a dense layer, 16, 32 and 64 filters, no "
    "normalisation; 45,000 / 5,000 / 10,000 images; linear decay of the rate; goal and batch sizes",
    chosen="biases, shortcuts of option A, He-normal weights, a head that starts small, pixels in [0, 1], "
    "crops of a frame of 4 pixels and mirror images (He et al., 2016), ranges of the search; all of tiny, which augments "
    "nothing",
    recipe=DECAYING,
)


def cifar10_resnet8(scale: str = "base") -> Workload:
    """Panel (c): ResNet-8 on CIFAR-10; goal: held-out error below 0.30.

    Args:
      scale: "base" (16, 32 and 64 filters) or "tiny" (4, 8 and 16, pictures of half the side).
    """
    return PANEL.workload(scale)
