"""ResNet-50 on ImageNet and Open Images: panels (d) and (e) of Shallue et al. (2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.examples import read_classes, read_labels
from lr_batch.workloads.layers import Dense
from lr_batch.workloads.panel import (
    DECAYING,
    LARGE_PICTURES,
    TINY,
    Panel,
    Scale,
    powers_of_2,
    sigmoid_cross_entropy,
    small_start,
)
from lr_batch.workloads.patch_conv import PatchConv, mean_pool


class ResNet50(nn.Module):
    """Pre-activation bottleneck blocks (He et al., 2016b) with batch normalization, which a last one follows too.

    Attributes:
      classes: number of outputs.
      width: filters of the stem and of the first stage's narrow convolutions; doubled from stage to stage.
      blocks: of each stage.
      shrink: side of the blocks of pixels of which the means are taken first.
      branch_start: initializer of the last convolution of each block. With zeros a block begins as its shortcut, and
        what is evaluated with averages that have not moved yet stays in bounds, however many blocks there are.
    """

    classes: int
    width: int = 64
    blocks: Sequence[int] = (3, 4, 6, 3)
    shrink: int = 1
    branch_start: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(
        self, x: Float[Array | np.ndarray, "m height width channels"], deterministic: bool
    ) -> Float[Array, "m classes"]:
        norm = lambda x: nn.BatchNorm(deterministic, momentum=0.9, epsilon=1e-5)(x)
        h = PatchConv(self.width, (7, 7), 2, use_bias=False)(mean_pool(x, self.shrink))
        h = nn.max_pool(h, (3, 3), (2, 2), "SAME")
        for stage, count in enumerate(self.blocks):
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                h = _bottleneck(
                    h, 2**stage * self.width, stride, norm, project=i == 0, last=self.branch_start
                )
        head = Dense(self.classes, kernel_init=small_start, name="head")
        return head(jax.nn.relu(norm(h)).mean(axis=(1, 2)))


def _bottleneck(
    x: Float[Array, "m height width in"],
    features: int,
    stride: int,
    norm: Callable,
    *,
    project: bool,
    last: nn.initializers.Initializer,
) -> Float[Array, "m rows columns out"]:
    """shortcut + 1x1, 3x3 and 1x1 convolutions, each after normalization and ReLU; the 3x3 one has the stride."""
    convolve = lambda features, kernel, stride, x: PatchConv(features, kernel, stride, use_bias=False)(x)
    active = jax.nn.relu(norm(x))
    shortcut = convolve(4 * features, (1, 1), stride, active) if project else x
    h = convolve(features, (1, 1), 1, active)
    h = convolve(features, (3, 3), stride, jax.nn.relu(norm(h)))
    widen = PatchConv(4 * features, (1, 1), use_bias=False, kernel_init=last)
    return shortcut + widen(jax.nn.relu(norm(h)))


IMAGE = (224, 224, 3)
CHOSEN = (
    "second version with a last normalization and the stride in the 3x3 convolution, running averages 0.9, epsilon "
    "1e-5, He-normal weights, blocks that start as their shortcuts (but in tiny), a head that starts small, pixels in "
    "[0, 1], crops of 8 % to all of a picture and mirror images (Szegedy et al., 2015), ranges of the search; all of "
    "tiny, which augments nothing"
)


def tiny(classes: int) -> ResNet50:
    """One block in each stage, of 8, 16, 32 and 64 filters; of so few none need to start at zero."""
    he = nn.initializers.he_normal()
    return ResNet50(classes, width=8, blocks=(1, 1, 1, 1), shrink=2, branch_start=he)


IMAGENET = Panel(
    "imagenet_resnet50",
    "imagenet2012",
    {
        "base": Scale(
            ResNet50(1_000),
            IMAGE,
            25_549_352,
            Goal("error", 0.25),
            powers_of_2(64, 65_536),
            2_500_000,
            64,
            augment=LARGE_PICTURES,
        ),
        TINY: Scale(tiny(10), (32, 32, 3), 130_002, Goal("error", 0.2), powers_of_2(32, 1_024), 10_000),
    },
    read_classes,
    published="ResNet-50 with pre-activation and ghost batch normalization in groups of 32; 1,281,167 images, the "
    "50,000 of validation held out; linear decay of the rate; label smoothing 0, 0.01 or 0.1; goal and batch sizes",
    chosen=CHOSEN,
    recipe=DECAYING._replace(
        regularizer="label_smoothing", space=(*DECAYING.space, "label_smoothing=choice(0,0.01,0.1)")
    ),
)
OPEN_IMAGES = Panel(
    "open_images_resnet50",
    "open_images_v4",
    {
        "base": Scale(
            ResNet50(7_186),
            IMAGE,
            38_224_466,
            Goal("average_precision", 0.31, above=True),
            powers_of_2(64, 32_768),
            1_500_000,
            64,
            augment=LARGE_PICTURES,
        ),
        TINY: Scale(
            tiny(10),
            (32, 32, 3),
            130_002,
            Goal("average_precision", 0.75, above=True),
            powers_of_2(32, 1_024),
            10_000,
        ),
    },
    read_labels,
    published="the network of imagenet_resnet50 with sigmoid outputs; average precision above 0.31; linear decay of the "
    "rate; batch sizes",
    chosen="the 7,186 trainable labels, average precision pooled over them (micro), losses summed over them; "
    + CHOSEN,
    recipe=DECAYING,
    loss=sigmoid_cross_entropy,
)


def imagenet_resnet50(scale: str = "base") -> Workload:
    """Panel (d): ResNet-50 on ImageNet, ghost batches of 32; goal: held-out error below 0.25.

    Args:
      scale: "base", or "tiny" (one block in each stage, an eighth of the filters, 16x16 pixels, 10 classes).
    """
    return IMAGENET.workload(scale)


def open_images_resnet50(scale: str = "base") -> Workload:
    """Panel (e): ResNet-50 on Open Images, 7,186 labels; goal: held-out average precision above 0.31.

    Args:
      scale: as of `imagenet_resnet50`.
    """
    return OPEN_IMAGES.workload(scale)
