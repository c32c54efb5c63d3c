"""VGG-11 on ImageNet: panel (h) of Shallue et al. (2019)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.examples import read_classes
from lr_batch.workloads.layers import Dense
from lr_batch.workloads.panel import DECAYING, LARGE_PICTURES, TINY, Panel, Scale, powers_of_2, small_start
from lr_batch.workloads.patch_conv import PatchConv, max_pool


class VGG11(nn.Module):
    """Model A of Simonyan & Zisserman (2015): eight 3x3 convolutions in five stages, two hidden layers.

    Attributes:
      classes: number of outputs.
      width: filters of the first stage; the others have 2, 4, 8 and 8 times as many.
      hidden: units of each of the two hidden layers.
      dropout: share of hidden units dropped in training.
    """

    classes: int
    width: int = 64
    hidden: int = 4_096
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Array | np.ndarray, "m height width channels"], deterministic: bool
    ) -> Float[Array, "m classes"]:
        for factors in STAGES:
            for factor in factors:
                x = jax.nn.relu(PatchConv(factor * self.width, (3, 3))(x))
            x = max_pool(x)
        x = x.reshape(len(x), -1)
        for _ in range(2):
            x = nn.Dropout(self.dropout, deterministic=deterministic)(jax.nn.relu(Dense(self.hidden)(x)))
        return Dense(self.classes, kernel_init=small_start, name="head")(x)


STAGES: Sequence[Sequence[int]] = ((1,), (2,), (4, 4), (8, 8), (8, 8))
PANEL = Panel(
    "imagenet_vgg11",
    "imagenet2012",
    {
        "base": Scale(
            VGG11(1_000),
            (224, 224, 3),
            132_863_336,
            Goal("error", 0.35),
            powers_of_2(32, 65_536),
            3_000_000,
            64,
            augment=LARGE_PICTURES,
        ),
        TINY: Scale(
            VGG11(10, width=4, hidden=32),
            (32, 32, 3),
            38_722,
            Goal("error", 0.5),
            powers_of_2(4, 256),
            10_000,
        ),
    },
    read_classes,
    published="model A without normalisation; 1,281,167 images, the 50,000 of validation held out; linear decay of the "
    "rate; goal and batch sizes",
    chosen="dropout 0.5 as in the original, He-normal weights, a head that starts small, pixels in [0, 1], "
    "crops of 8 % to all of a picture and mirror images (Szegedy et al., 2015), ranges of the search; all of tiny, which "
    "augments nothing",
    recipe=DECAYING,
)


def imagenet_vgg11(scale: str = "base") -> Workload:
    """Panel (h): VGG-11 on ImageNet; goal: held-out error below 0.35.

    Args:
      scale: "base", or "tiny" (a sixteenth of the filters, 32 hidden units, 32x32 pixels, 10 classes).
    """
    return PANEL.workload(scale)
