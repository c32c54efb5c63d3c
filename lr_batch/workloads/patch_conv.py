"""Convolution and pooling in a form that stays fast when lanes are stacked."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from lr_batch.workloads.layers import product


class PatchConv(nn.Module):
    """Two-dimensional convolution as slices and one product of matrices; parameters and values of `nn.Conv`.

    `vmap` over kernels turns a convolution into a grouped one, whose backward
    pass on CPU is 10 to 100 times slower than a batched product. Patches of an
    input that lanes share are sliced once for all of them.

    Attributes:
      features: output channels O.
      kernel_size: (height, width) of the kernel, whose shape is (height, width, I, O).
      stride: of both axes.
      use_bias: whether a bias `[O]` is added.
      kernel_init: initializer of the kernel.

    Padding is "SAME".
    """

    features: int
    kernel_size: tuple[int, int]
    stride: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "m height width in"]) -> Float[Array, "m rows columns out"]:
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        y = product(patches(x, self.kernel_size, self.stride), kernel.reshape(-1, self.features))
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,))[None, None, None]
        return y


def patches(
    x: Float[Array, "m height width in"], kernel_size: tuple[int, int], stride: int
) -> Float[Array, "m rows columns values"]:
    """What each position of the kernel covers, in the order of a flattened kernel (height, width, I)."""
    pads = jax.lax.padtype_to_pads(x.shape[1:3], kernel_size, (stride, stride), "SAME")
    rows, columns = (-(-size // stride) for size in x.shape[1:3])
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    return jnp.concatenate(
        [
            padded[:, i : i + rows * stride : stride, j : j + columns * stride : stride]
            for i in range(kernel_size[0])
            for j in range(kernel_size[1])
        ],
        axis=-1,
    )


def max_pool(x: Float[Array, "m height width channels"]) -> Float[Array, "m rows columns channels"]:
    """Maximum over blocks of 2x2 pixels; both sizes must be even.

    `nn.max_pool` runs backward through a scatter, which is slow on CPU.
    """
    top, bottom = x[:, 0::2], x[:, 1::2]
    tallest = jnp.maximum(top, bottom)
    return jnp.maximum(tallest[:, :, 0::2], tallest[:, :, 1::2])
