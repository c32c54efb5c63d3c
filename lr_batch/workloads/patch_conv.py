"""Convolution and pooling in forms that stay fast when lanes are stacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from lr_batch.workloads.layers import product


class PatchConv(nn.Module):
    """Two-dimensional convolution with the parameters and values of `nn.Conv`.

    `vmap` over kernels turns a convolution into a grouped one, whose backward
    pass on CPU is 10 to 100 times slower than a batched product: there it is
    done by `of_patches`, on accelerators by `lane_by_lane`.

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
    def __call__(
        self, x: Float[Array | np.ndarray, "m height width in"]
    ) -> Float[Array, "m rows columns out"]:
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        convolve = of_patches if jax.default_backend() == "cpu" else lane_by_lane
        y = convolve(x, kernel, self.stride)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,))[None, None, None]
        return y  # pyright: ignore[reportReturnType]


def of_patches(
    x: Float[Array | np.ndarray, "m height width in"],
    kernel: Float[Array | np.ndarray, "r s in out"],
    stride: int,
) -> Float[Array, "m rows columns out"]:
    """The convolution as slices and one product of matrices; of an input that lanes share they are sliced once."""
    return product(
        patches(x, (kernel.shape[0], kernel.shape[1]), stride), kernel.reshape(-1, kernel.shape[-1])
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def lane_by_lane(
    x: Float[Array | np.ndarray, "m height width in"],
    kernel: Float[Array | np.ndarray, "r s in out"],
    stride: int,
) -> Float[Array, "m rows columns out"]:
    """The convolution by the backend's own kernels, which keep no patches in memory, for one lane after the other.

    An H100 takes 1.65 ms for the second layer of the published CNN, forward and backward, in 8 lanes of 256 examples;
    2.8 ms as one grouped convolution, 3.3 ms with patches. Of an input that lanes share it takes the patches.
    """
    native, sliced = partial(_convolution, stride=stride), partial(of_patches, stride=stride)
    return _for_lanes(native, sliced)(x, kernel)


def _forward(x, kernel, stride):
    return lane_by_lane(x, kernel, stride), (x, kernel)


def _backward(stride, residuals, g):
    pull_back = lambda convolve: lambda x, kernel, g: jax.vjp(convolve, x, kernel)[1](g)
    native, sliced = partial(_convolution, stride=stride), partial(of_patches, stride=stride)
    return _for_lanes(pull_back(native), pull_back(sliced))(*residuals, g)


lane_by_lane.defvjp(_forward, _backward)


def _for_lanes(native: Callable, sliced: Callable) -> Callable:
    """`native(x, *others)`, whose `vmap` goes lane by lane where lanes differ in x, and by `sliced` where they share it.

    Args:
      native: of one lane; batched, it would be a grouped convolution.
      sliced: the same values as products of matrices, which stay products when they are batched.
    """
    by_lane = custom_vmap(native)

    @by_lane.def_vmap
    def batched(lanes, in_batched, *arguments):
        differs_in_x = in_batched[0]
        if differs_in_x:
            outputs = _one_by_one(native, lanes, in_batched, arguments)
        else:
            axes = tuple(0 if differs else None for differs in in_batched)
            outputs = jax.vmap(sliced, in_axes=axes)(*arguments)
        return outputs, jax.tree.map(lambda _: True, outputs)

    return by_lane


def _one_by_one(
    function: Callable, lanes: int, in_batched: Sequence[bool], arguments: Sequence[Array]
) -> Any:
    """`function` of one lane after the other; what lanes share is repeated, since a loop slices all its inputs."""
    repeated = tuple(
        leaf if differs else jnp.broadcast_to(leaf, (lanes, *leaf.shape))
        for leaf, differs in zip(arguments, in_batched, strict=True)
    )
    return jax.lax.map(lambda own: function(*own), repeated)


def _convolution(x: Array, kernel: Array, stride: int) -> Array:
    names = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=names)


def patches(
    x: Float[Array | np.ndarray, "m height width in"], kernel_size: tuple[int, int], stride: int
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


def max_pool(
    x: Float[Array | np.ndarray, "m height width channels"],
) -> Float[Array, "m rows columns channels"]:
    """Maximum over blocks of 2x2 pixels; a last row or column without a second one is left out.

    `nn.max_pool` runs backward through a scatter, which is slow on CPU.
    """
    height, width = (size // 2 * 2 for size in x.shape[1:3])
    tallest = jnp.maximum(x[:, 0:height:2], x[:, 1:height:2])
    return jnp.maximum(tallest[:, :, 0:width:2], tallest[:, :, 1:width:2])


def mean_pool(
    x: Float[Array | np.ndarray, "m height width channels"], side: int
) -> Float[Array | np.ndarray, "m rows columns channels"]:
    """Mean over blocks of side x side pixels, which both sizes must be multiples of."""
    if side == 1:
        return x
    rows, columns = (size // side for size in x.shape[1:3])
    return x.reshape(len(x), rows, side, columns, side, -1).mean(axis=(2, 4))
