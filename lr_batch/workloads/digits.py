"""Handwritten digits, 8x8 pixels: real data that comes with scikit-learn."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import optax

from lr_batch.problem.from_arrays import from_arrays
from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.cnn import SmallCNN
from lr_batch.workloads.mlp import MLP

NUM_TRAIN = 1_400
MAX_PIXEL = 16.0


def digits_mlp(width: int = 128, layers: int = 1) -> Workload:
    """64-128-10 ReLU network on the digits; goal: held-out cross entropy below 0.2.

    Args:
      width: of each hidden layer.
      layers: hidden layers.
    """
    train, held_out = load_digits()
    return from_arrays(
        MLP((width,) * layers + (10,)),
        train=train,
        held_out=held_out,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        goal=Goal("loss", 0.2),
        name="digits_mlp",
        budget=20_000,
    )


def digits_cnn(width: int = 8) -> Workload:
    """Two 3x3 convolutions (8 and 16 filters) on the digits; goal: held-out cross entropy below 0.2.

    Args:
      width: filters of the first convolution; the second has twice as many.
    """
    train, held_out = ((x.reshape(-1, 8, 8, 1), y) for x, y in load_digits())
    return from_arrays(
        SmallCNN((width, 2 * width), classes=10),
        train=train,
        held_out=held_out,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        goal=Goal("loss", 0.2),
        name="digits_cnn",
        budget=20_000,
    )


def load_digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The 1,797 images as rows of 64 pixels in [0, 1]: 1,400 to train on and 397 held out.

    The split is one fixed permutation, not stratified. It is shuffled because
    neighbours in the file come from one writer, and both parts should have all.
    """
    pixels, labels = read_digits()
    # RandomState, because NumPy freezes its stream; a Generator's may change with the version.
    order = np.random.RandomState(0).permutation(len(labels))
    x, y = (pixels[order] / MAX_PIXEL).astype(np.float32), labels[order].astype(np.int32)
    return (x[:NUM_TRAIN], y[:NUM_TRAIN]), (x[NUM_TRAIN:], y[NUM_TRAIN:])


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels as `sklearn.datasets.load_digits` returns them, from the file that it reads.

    Importing its loader takes a second, longer than anything else before the first program is compiled.
    """
    spec = find_spec("sklearn")
    path = Path(spec and spec.origin or "").parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        from sklearn.datasets import load_digits as load

        loaded: Any = load(return_X_y=True)
        return loaded
    rows = np.loadtxt(path, delimiter=",")
    return rows[:, :-1], rows[:, -1].astype(int)
