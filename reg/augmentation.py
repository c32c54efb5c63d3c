"""Changes of training images that leave their label as it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from optim.hyperparameters import hyperparameters
from optim.range import NON_NEGATIVE, Range
from reg.applied import Applied, Key, Scalar, where_active
from reg.examples import real_examples

Images = Float[Array, "m height width channels"]
AUGMENTATION = 0xA06
SHARE = Range(low=0.0, high=1.0)


@hyperparameters(size=NON_NEGATIVE)
def cutout(size: Scalar) -> Applied:
    """A square with a side of s = `size` >= 0 pixels at a random place is set to 0.

    DeVries & Taylor (2017). Its centre is uniform over the image, so that it may hang over the edge.

    Args:
      size: s, pixels, in [0, inf).
    """

    def cut(x: Images, key: Key) -> Images:
        m, height, width, _ = x.shape
        centre = jax.random.uniform(key, (2, m, 1)) * jnp.array([height, width])[:, None, None]
        rows, columns = (jnp.arange(side)[None] + 0.5 for side in (height, width))
        in_row, in_column = jnp.abs(rows - centre[0]) < size / 2, jnp.abs(columns - centre[1]) < size / 2
        return jnp.where((in_row[:, :, None] & in_column[:, None])[..., None], 0.0, x)

    return _augmented("cutout", size, cut)


@hyperparameters(size=NON_NEGATIVE)
def random_crop(size: Scalar) -> Applied:
    """The image is moved by up to s = `size` >= 0 whole pixels each way, zeros coming in from outside.

    The same as padding by s and cropping at random (He et al., 2016, section 4.2).

    Args:
      size: s, pixels, in [0, inf).
    """

    def crop(x: Images, key: Key) -> Images:
        m, height, width, _ = x.shape
        most = jnp.floor(size)
        draws = jax.random.uniform(key, (2, m))
        shifts = (jnp.floor(draws * (2 * most + 1)) - most).astype(jnp.int32)

        def shift(image, by):
            rows, columns = jnp.arange(height) + by[0], jnp.arange(width) + by[1]
            inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
            moved = image[jnp.clip(rows, 0, height - 1)][:, jnp.clip(columns, 0, width - 1)]
            return jnp.where(inside[..., None], moved, 0.0)

        return jax.vmap(shift)(x, shifts.T)

    return _augmented("random_crop", size, crop)


@hyperparameters(rate=SHARE)
def random_flip(rate: Scalar) -> Applied:
    """The image is mirrored left to right with probability p = `rate` in [0, 1].

    Args:
      rate: p, probability, in [0, 1].
    """

    def flip(x: Images, key: Key) -> Images:
        mirrored = jax.random.uniform(key, (len(x), 1, 1, 1)) < rate
        return jnp.where(mirrored, x[:, :, ::-1], x)

    return _augmented("random_flip", rate, flip)


def _augmented(owner: str, strength: Scalar, change: Callable[[Images, Key], Images]) -> Applied:
    def with_change(loss_fn, num_classes):
        del num_classes

        def loss(params, batch, key):
            x = real_examples(owner, batch)
            images = change(x.reshape(_image_shape(owner, x.shape)), jax.random.fold_in(key, AUGMENTATION))
            return loss_fn(params, {**batch, "x": images.reshape(x.shape)}, key)

        return where_active(strength > 0, loss, loss_fn)

    return Applied(loss=with_change)


def _image_shape(owner: str, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """`[m, height, width, channels]` of a batch; rows of n*n numbers are taken as square images.

    Raises:
      ValueError: for anything else.
    """
    if len(shape) == 4:
        return shape
    side = math.isqrt(shape[1]) if len(shape) == 2 else 0
    if side < 2 or side * side != shape[1]:
        raise ValueError(
            f"{owner}: needs images [m, height, width, channels] or rows of n*n pixels, got {list(shape)}"
        )
    return (shape[0], side, side, 1)
