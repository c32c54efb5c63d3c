"""Small convolutional networks without normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from lr_batch.workloads.layers import Dense
from lr_batch.workloads.patch_conv import PatchConv, max_pool, mean_pool


class SmallCNN(nn.Module):
    """Convolutions with ReLU and 2x2 max-pooling, hidden dense layers with ReLU and dropout, and the logits.

    Attributes:
      filters: of each convolution.
      classes: number of outputs.
      kernel: height and width of the kernels.
      hidden: widths of the dense layers between convolutions and logits.
      dropout: share of hidden units dropped in training.
      head_init: initializer of the logits' weights.
      shrink: side of the blocks of pixels of which the means are taken first.
    """

    filters: Sequence[int]
    classes: int
    kernel: int = 3
    hidden: Sequence[int] = ()
    dropout: float = 0.0
    head_init: nn.initializers.Initializer = nn.initializers.he_normal()
    shrink: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array | np.ndarray, "m height width channels"], deterministic: bool
    ) -> Float[Array, "m classes"]:
        x = mean_pool(x, self.shrink)
        for features in self.filters:
            x = max_pool(jax.nn.relu(PatchConv(features, (self.kernel, self.kernel))(x)))
        x = x.reshape(len(x), -1)
        for width in self.hidden:
            x = jax.nn.relu(Dense(width)(x))
            x = nn.Dropout(self.dropout, deterministic=deterministic)(x)
        return Dense(self.classes, kernel_init=self.head_init, name="head")(x)
