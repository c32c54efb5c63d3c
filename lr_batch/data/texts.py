"""Texts of a TFDS folder as columns of tokens, which are worked out when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, Int

from lr_batch.data.records import Field, RecordSource
from lr_batch.data.vocabulary import TEXT, Vocabulary, load_vocabulary
from lr_batch.problem.column import Column
from optim.arguments import explain_arguments

COLUMNS = ("x", "y", "weights")


@explain_arguments
def texts(
    folder: str | Path, split: str = "train", *, length: int, pieces: int | None = None
) -> tuple[Column, Column, Column]:
    """Inputs, targets and weights `[n, length]` of a language model, for `lr_batch.from_arrays`.

    A text is a row: its subwords and what ends it, cut after `length` of them. The input of each is the one before it, at
    first what begins a text; weights are 1 where there is a target and 0 on padding. Pure functions of the row: a study
    on columns has the numbers of one on `numpy.asarray(column)`.

    Args:
      folder: of one version of a data set with the feature `text`, such as ~/tensorflow_datasets/lm1b/1.1.0.
      split: such as "train" or "test[:10000]", in the words of TFDS.
      length: of a row, at least 1.
      pieces: of the vocabulary beside the records, which `lr-batch data prepare NAME --vocabulary PIECES` learns; None
        for the only one, 0 for bytes of UTF-8, of which 256 begins a text and 257 pads it.

    Raises:
      ValueError: in one line: no folder of TFDS, an unknown split, no text, or no vocabulary that belongs to the data.
    """
    if isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 1:
        raise ValueError(f"texts: length must be a whole number, at least 1, got {length!r}")
    place = Path(folder).expanduser()
    source = TokenSource(place, split, int(length), pieces)
    x, y, weights = (Column(source, name) for name in COLUMNS)
    return x, y, weights


class TokenSource:
    """Tokens of the texts of a split; see `lr_batch.problem.column.Source`."""

    def __init__(self, folder: Path, split: str, length: int, pieces: int | None):
        as_numbers = {TEXT: Field(jax.ShapeDtypeStruct((length,), np.int32), self._numbers)}
        self.length = length
        self._texts = RecordSource(folder, split, (TEXT,), as_numbers)
        self.vocabulary: Vocabulary = load_vocabulary(folder, pieces)
        self.num_rows, self.folder = self._texts.num_rows, self._texts.folder
        self.described = f"{self._texts.described} {self.vocabulary.described} {length}"
        whole, weights = (jax.ShapeDtypeStruct((length,), dtype) for dtype in (np.int32, np.float32))
        self.columns: Mapping[str, jax.ShapeDtypeStruct] = {"x": whole, "y": whole, "weights": weights}

    def read(self, rows: Int[np.ndarray, " n"], names: Sequence[str]) -> dict[str, np.ndarray]:
        """The rows of these columns."""
        y = self._texts.read(rows, [TEXT])[TEXT]
        read = next_tokens(y, self.vocabulary)
        return {name: read[name] for name in names}

    def about_damaged(self) -> str:
        """Which records could not be read, by file and index; "" where all could."""
        return self._texts.about_damaged()

    def _numbers(self, text: bytes) -> Int[np.ndarray, " length"]:
        (numbers,) = self.vocabulary.encode([text])
        row = np.full(self.length, self.vocabulary.padding, np.int32)
        row[: len(numbers)] = numbers[: self.length]
        return row


def next_tokens(y: Int[np.ndarray, "n length"], vocabulary: Vocabulary) -> dict[str, np.ndarray]:
    """Inputs, targets and weights of padded targets."""
    first = np.full((len(y), 1), vocabulary.begin, np.int32)
    x = np.concatenate([first, y[:, :-1]], axis=1)
    weights: Float[np.ndarray, "n length"] = (y != vocabulary.padding).astype(np.float32)
    return {"x": x, "y": y, "weights": weights}
