"""Prepared data as a training and a held-out part, in the form that a network of some scale takes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from lr_batch.data.opened import num_rows
from lr_batch.data.prepared import (
    FROM_PICTURES,
    FROM_TEXTS,
    Images,
    is_prepared,
    load_prepared,
    version_folder,
)
from lr_batch.data.records import of_pixels, records
from lr_batch.data.stand_in import load_stand_in
from lr_batch.data.texts import texts
from lr_batch.data.vocabulary import BYTES
from lr_batch.problem.column import Column, read_whole

NUM_HELD_OUT = 5_000
BEGIN, PADDING = BYTES.begin, BYTES.padding  # what a text begins with, and what fills the rest of its row
NUM_TOKENS = BYTES.size
MOST_TEXTS_HELD_OUT = 10_000

Arrays = tuple[np.ndarray, np.ndarray]
Columns = tuple[Column, Column]


class Examples(NamedTuple):
    """Inputs and targets to train on and held out, weights of the targets' parts, and what stands in for the data."""

    train: Arrays | Columns
    held_out: Arrays
    weights: tuple[np.ndarray | Column, np.ndarray] | None = None
    stand_in: str = ""


def read_classes(data: str, inputs: tuple[int, ...], *, on_disk: bool = False) -> Examples:
    """Pictures `[n, height, width, channels]` with pixels in [0, 1], and the class `[n]` of each.

    The last 5,000 training images in the order of TFDS, which is a fixed shuffle, are held out (Shallue et al., 2019:
    55,000 / 5,000 for the MNIST family, 45,000 / 5,000 for CIFAR-10). The test split stays untouched. `on_disk` leaves
    what is trained on in its records; pictures prepared from folders stay there anyway.
    """
    if data in FROM_PICTURES and is_prepared(data):
        folder = version_folder(data)
        x, y = records(folder, "validation")
        return Examples(records(folder), (np.asarray(x), np.asarray(y)))
    if not is_prepared(data):
        return read_labels(data, inputs)
    x, y = _of_pixels(load_prepared(data)["train"])
    train = (x[:-NUM_HELD_OUT], y[:-NUM_HELD_OUT])
    if on_disk:
        train = records(version_folder(data), f"train[:-{NUM_HELD_OUT}]")
    return Examples(train, (x[-NUM_HELD_OUT:], y[-NUM_HELD_OUT:]))


def read_flat(data: str, inputs: tuple[int, ...], *, on_disk: bool = False) -> Examples:
    """As `read_classes`, with pictures as rows of pixels."""
    examples = read_classes(data, inputs, on_disk=on_disk)
    flat = lambda x: x.flat() if isinstance(x, Column) else x.reshape(len(x), -1)
    rows = lambda pair: (flat(pair[0]), pair[1])
    return examples._replace(train=rows(examples.train), held_out=rows(examples.held_out))


def read_labels(data: str, inputs: tuple[int, ...], *, on_disk: bool = False) -> Examples:
    """Prepared pictures, and which labels `[n, labels]` each has, what is trained on in its records; or those of a
    stand-in, and which each has or the class `[n]` of each."""
    if is_prepared(data):
        folder = version_folder(data)
        x, y = records(folder, "validation", y="labels")
        return Examples(records(folder, y="labels"), (np.asarray(x), np.asarray(y)))
    parts = load_stand_in(data)
    return Examples(_of_pixels(parts.train), _of_pixels(parts.held_out), stand_in=parts.about)


def read_text(data: str, inputs: tuple[int, ...], *, on_disk: bool = False, pieces: int = 0) -> Examples:
    """Subwords or, with 0 `pieces` and of a stand-in, bytes `[n, length]` of texts, the one that follows each, and a
    weight of 0 where there is none.

    A text is a row: what is longer is cut. Prepared texts stay in their records; the first 10,000 of those that
    are not trained on are held out.
    """
    (length,) = inputs
    if is_prepared(data):
        folder = version_folder(data)
        count = num_rows(folder, FROM_TEXTS[data])
        x, y, weights = texts(folder, length=length, pieces=pieces)
        part = f"{FROM_TEXTS[data]}[:{min(MOST_TEXTS_HELD_OUT, count)}]"
        held_x, held_y, held_weights = read_whole(texts(folder, part, length=length, pieces=pieces))
        return Examples((x, y), (held_x, held_y), (weights, held_weights))
    parts = load_stand_in(data)
    (x, y, weights), (held_x, held_y, held_weights) = (
        next_bytes(texts.x, texts.y, length) for texts in (parts.train, parts.held_out)
    )
    return Examples((x, y), (held_x, held_y), (weights, held_weights), parts.about)


def next_bytes(
    text: UInt8[np.ndarray, " bytes"], lengths: Int[np.ndarray, " n"], length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, targets and weights, `[n, length]` each, of texts that lie one behind the other.

    >>> x, y, weights = next_bytes(np.frombuffer(b"hi!", np.uint8), np.array([2, 1]), 3)
    >>> x.tolist(), y.tolist(), weights.tolist()
    ([[256, 104, 105], [256, 33, 257]], [[104, 105, 257], [33, 257, 257]], [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    """
    starts = np.cumsum(lengths) - lengths
    there = np.arange(length)[None] < lengths[:, None]
    places = np.minimum(starts[:, None] + np.arange(length)[None], len(text) - 1)
    y = np.where(there, text[places].astype(np.int32), PADDING)  # a byte has no room for it
    x = np.concatenate([np.full((len(y), 1), BEGIN, np.int32), y[:, :-1]], axis=1)
    return x, y, there.astype(np.float32)


def _of_pixels(images: Images) -> Arrays:
    return of_pixels(images.x), images.y.astype(np.int32)
