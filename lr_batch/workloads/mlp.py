"""Fully connected ReLU network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from lr_batch.workloads.layers import Dense, relu


class MLP(nn.Module):
    """Layers of the given widths with ReLU between them; the last one gives the logits.

    Weights are He-normal (He et al., 2015), those of the last layer as `head_init` says; biases are zero. The name
    "head" tells Muon which layer it must not train.
    """

    widths: Sequence[int]
    head_init: nn.initializers.Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, x: Float[Array | np.ndarray, "m features"]) -> Float[Array, "m classes"]:
        for width in self.widths[:-1]:
            x = relu(Dense(width)(x))
        return Dense(self.widths[-1], kernel_init=self.head_init, name="head")(x)
