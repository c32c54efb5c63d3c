"""Examples of a TFDS folder, read from its records when they are asked for: no TensorFlow, no network, no table."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from lr_batch.data.opened import builder_of, fingerprint, opened
from lr_batch.problem.column import Column
from optim.arguments import explain_arguments
from optim.names import counted, unknown
from optim.users_error import first_line

MAX_PIXEL = 255.0
DAMAGED_SHARE = 1e-3  # of the records that were read: with more the data are another data set
SHOWN = 3  # damaged records in a message


class Field(NamedTuple):
    """How a feature becomes a row of a column: its shape and dtype, and `what TFDS gives -> row`."""

    row: jax.ShapeDtypeStruct
    decode: Callable[[Any], np.ndarray]


@explain_arguments
def records(
    folder: str | Path, split: str = "train", *, x: str = "image", y: str = "label"
) -> tuple[Column, Column]:
    """Inputs and targets of a TFDS folder in the format `array_record`, for `lr_batch.from_arrays`.

    Pictures, encoded or as bytes `[height, width, channels]`, become float32 in [0, 1], of one size; whole numbers int32,
    other numbers float32; several labels, in int32, which of all there are an example has. What is read is a pure
    function of the row: a study on columns has the same numbers, bit for bit, as one on the arrays
    `numpy.asarray(column)`, and shares its trials.

    Args:
      folder: of one version, such as ~/tensorflow_datasets/mnist/3.0.1.
      split: such as "train", "train[:-5000]" or "test", in the words of TFDS.
      x: feature that is the input.
      y: feature that is the target.

    Returns:
      The columns; they stay on the disk. Held-out ones are read into memory by `from_arrays`.

    Raises:
      ValueError: in one line: no folder of TFDS, a format without random access, an unknown split or feature, or records
        of unequal shapes.
    """
    source = RecordSource(Path(folder).expanduser(), split, (x, y))
    return Column(source, x), Column(source, y)


class RecordSource:
    """Records of a split; see `lr_batch.problem.column.Source`.

    A damaged record is replaced by the next one that can be read: so the numbers stay a function of seed and step.

    Args:
      folder, split: as of `records`.
      names: of the features that are read.
      fields: how they are read, where the feature does not say.

    Attributes:
      damaged: what was wrong with each row that could not be read.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        names: Sequence[str],
        fields: Mapping[str, Field] = MappingProxyType({}),
    ):
        builder = builder_of(folder)
        self.folder: Path | None = folder
        self._source, self._files = opened(builder, folder, split)
        self.num_rows = len(self._source)
        self.damaged: dict[int, str] = {}
        self._lock = threading.Lock()
        self._seen = 0
        features = builder.info.features
        for name in names:
            if name not in features:
                raise ValueError(f"records: {folder}: {unknown('feature', name, features)}")
        of_feature = lambda name, value: _field(f"{folder}: {name}", features[name], value)
        own = self._first(of_feature, [name for name in names if name not in fields])
        self._fields = {name: fields[name] if name in fields else own[name] for name in names}
        self.columns: Mapping[str, jax.ShapeDtypeStruct] = {
            name: field.row for name, field in self._fields.items()
        }
        self.described = f"{builder.info.full_name} {split} {fingerprint(folder)}"

    def _first(self, field: Callable[[str, Any], Field], names: Sequence[str]) -> dict[str, Field]:
        """Fields of the first record that can be read."""
        for row in range(self.num_rows):
            if (example := self._example_or_none(row)) is None:
                continue
            try:
                return {name: field(name, example[name]) for name in names}
            except ValueError:  # of a feature that no network takes, whatever the record
                raise
            except Exception as error:
                self._note(row, error)
        raise ValueError(f"records: {self.folder} has no record that can be read")

    def read(self, rows: Int[np.ndarray, " n"], names: Sequence[str]) -> dict[str, np.ndarray]:
        """The rows of these columns."""
        examples = self._examples(rows)
        read: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for row, example in zip(rows.tolist(), examples, strict=True):
            for name, value in self._decoded(row, example, names).items():
                read[name].append(value)
        empty = {name: np.empty((0, *self.columns[name].shape), self.columns[name].dtype) for name in names}
        return {name: np.stack(values) if values else empty[name] for name, values in read.items()}

    def _examples(self, rows: Int[np.ndarray, " n"]) -> list[Any]:
        """Undecoded; None where a record cannot be read."""
        self._seen += len(rows)
        try:
            return self._source.__getitems__(rows.tolist())
        except Exception:  # one of them is damaged: which, only reading each can tell
            return [self._example_or_none(row) for row in rows.tolist()]

    def _example_or_none(self, row: int) -> Any:
        try:
            return self._example(row)
        except Exception as error:
            self._note(row, error)
            return None

    def _example(self, row: int) -> Any:
        return self._source.__getitems__([row])[0]

    def _decoded(self, row: int, example: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Of a row, or of the next one that can be read."""
        for step in range(self.num_rows):
            if step:
                example = self._example_or_none((row + step) % self.num_rows)
            if example is None:
                continue
            try:
                return {name: self._checked(name, example[name]) for name in names}
            except Exception as error:
                self._note((row + step) % self.num_rows, error)
        raise ValueError(f"records: {self.folder} has no record that can be read")

    def _checked(self, name: str, value: Any) -> np.ndarray:
        field = self._fields[name]
        read = field.decode(value)
        if read.shape != field.row.shape:
            there, first = ("x".join(map(str, shape)) for shape in (read.shape, field.row.shape))
            raise ValueError(
                f"its {name} is {there}, the first record's {first}; data prepare --size makes them one"
            )
        return read

    def _note(self, row: int, error: Exception) -> None:
        with self._lock:
            self.damaged[row] = first_line(error)
            # One alone says nothing of a share
            many = len(self.damaged) > max(1.0, DAMAGED_SHARE * self._seen)
        if many:
            raise TooManyDamaged(
                f"records: {self.about_damaged()}; more than {DAMAGED_SHARE:.1%} of {self.folder}: prepare it again"
            )

    def about_damaged(self) -> str:
        """Which records could not be read, by file and index; "" where all could."""
        if not self.damaged:
            return ""
        rows = sorted(self.damaged)
        shown = "; ".join(f"{self._place(row)} ({self.damaged[row]})" for row in rows[:SHOWN])
        return f"{counted(len(rows), 'damaged record')}: {shown}{'; ...' if len(rows) > SHOWN else ''}"

    def _place(self, row: int) -> str:
        """File and index of a row."""
        for name, skip, take in self._files:
            if row < take:
                return f"{name} record {skip + row}"
            row -= take
        raise IndexError(row)


class TooManyDamaged(ValueError):
    """More records are damaged than may be left out."""


def _field(what: str, feature: Any, value: Any) -> Field:
    """From the feature and its value in the first record."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Image):
        decode = picture
    elif isinstance(feature, tfds.features.Sequence) and isinstance(
        feature.feature, tfds.features.ClassLabel
    ):
        decode = partial(which, feature.feature.num_classes or 0)
    elif (
        isinstance(feature, tfds.features.Tensor)
        and np.asarray(value).dtype == np.uint8
        and np.ndim(value) == 3
    ):
        decode = of_pixels  # as data prepare --size writes them
    else:
        kind = np.asarray(value).dtype.kind
        if kind not in "iufb":
            raise ValueError(f"records: {what} is {type(feature).__name__}: neither a picture nor numbers")
        dtype = np.float32 if kind == "f" else np.int32
        decode = lambda value: np.asarray(value).astype(dtype)
    first = decode(value)
    return Field(jax.ShapeDtypeStruct(first.shape, first.dtype), decode)


def picture(encoded: bytes) -> np.ndarray:
    """Pixels `[height, width, channels]` in [0, 1]."""
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        pixels = np.asarray(image)
    return of_pixels(pixels if pixels.ndim == 3 else pixels[..., None])


def which(count: int, labels: Any) -> np.ndarray:
    """1 where an example has the label, of all of them."""
    row = np.zeros(count, np.int32)
    row[np.asarray(labels, np.int64)] = 1
    return row


def of_pixels(pixels: np.ndarray) -> np.ndarray:
    """Bytes as numbers in [0, 1]."""
    return pixels.astype(np.float32) / MAX_PIXEL
