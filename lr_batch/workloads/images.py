"""Prepared images as a training and a held-out part."""

from __future__ import annotations

import numpy as np

from lr_batch.data.prepared import load_prepared

MAX_PIXEL = 255.0
NUM_HELD_OUT = 5_000

Arrays = tuple[np.ndarray, np.ndarray]


def load_train_and_held_out(name: str) -> tuple[Arrays, Arrays]:
    """Pixels `[n, height, width, channels]` in [0, 1] and labels `[n]` of a prepared data set.

    The last 5,000 training images in the order of TFDS, which is a fixed shuffle,
    are held out (Shallue et al., 2019: 55,000 / 5,000 for the MNIST family,
    45,000 / 5,000 for CIFAR-10). The test split stays untouched.
    """
    images, labels = load_prepared(name)["train"]
    x, y = images.astype(np.float32) / MAX_PIXEL, labels.astype(np.int32)
    return (x[:-NUM_HELD_OUT], y[:-NUM_HELD_OUT]), (x[-NUM_HELD_OUT:], y[-NUM_HELD_OUT:])
