"""Folders of pictures, one for each class, as a TFDS data set of pictures of one size, decoded once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from lr_batch.data import DAMAGED_SHARE, tfds_folder
from optim.names import counted

TRAIN, VALIDATION = "train", "validation"
# By folder
SPLITS = {TRAIN: TRAIN, VALIDATION: VALIDATION, "valid": VALIDATION, "val": VALIDATION, "test": "test"}
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
HELD_OUT_EVERY = 10  # picture of a class, at least one, where no folder holds any out
VERSION = "1.0.0"
MAX_SIZE = 4_096

Classes = Mapping[str, Sequence[Path]]


class Encoded(NamedTuple):
    """A picture before it is decoded: what it is called in a message, its file, its key in the data set, and its class,
    or all of its labels."""

    name: str
    file: Path | IO[bytes]
    key: str
    label: str | Sequence[str]


def prepare_pictures(name: str, source: Path, size: int) -> Path:
    """Writes the pictures of a folder as `size` x `size` x 3 bytes, without compression: training decodes nothing.

    A picture is scaled until its shorter side has `size` pixels, and its middle is kept. `source` holds a folder of
    class folders for each split, "train" and "validation" or "test", or class folders alone: then every tenth picture of
    a class by name, and at least one, is held out as "validation".

    Raises:
      ValueError: in one line: a wrong size, no class folders, a class with one picture or one that is not trained on,
        or too many pictures that cannot be read.
    """
    splits = found_splits(source)
    classes = sorted(splits[TRAIN])
    for split, found in splits.items():
        if odd := sorted(set(found) - set(classes)):
            raise ValueError(f"data prepare: {source}: class {odd[0]!r} of {split} is not in {TRAIN}")
    return write_pictures(name, {split: _encoded(found) for split, found in splits.items()}, classes, size)


def _encoded(found: Classes) -> Iterator[Encoded]:
    for label, paths in found.items():
        yield from (
            Encoded(str(path), path, f"{label}/{number:08d}", label) for number, path in enumerate(paths)
        )


def found_splits(source: Path) -> dict[str, Classes]:
    """Paths of the pictures of each class of each split."""
    by_split = {SPLITS[f.name.lower()]: f for f in _folders(source) if f.name.lower() in SPLITS}
    if by_split:
        if TRAIN not in by_split or len(by_split) < 2:
            raise ValueError(
                f"data prepare: {source} has the folder {next(iter(by_split))!r}; give class folders alone, or "
                f"{TRAIN}/ and {VALIDATION}/ or test/ that hold them"
            )
        return {split: _classes(folder) for split, folder in by_split.items()}
    whole = _classes(source)
    for label, paths in whole.items():
        if len(paths) < 2:
            raise ValueError(
                f"data prepare: class folder {str(source / label)!r} has one picture; at least two are needed, one to "
                f"train on and one that is held out"
            )
    held_out = {
        label: paths[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY] or paths[-1:] for label, paths in whole.items()
    }
    train = {
        label: [path for path in paths if path not in set(held_out[label])] for label, paths in whole.items()
    }
    return {TRAIN: train, VALIDATION: held_out}


def _folders(source: Path) -> list[Path]:
    return sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))


def _classes(source: Path) -> dict[str, list[Path]]:
    found = {
        folder.name: sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        for folder in _folders(source)
    }
    filled = [label for label, paths in found.items() if paths]
    if len(filled) < 2:
        raise ValueError(
            f"data prepare: {source} has {counted(len(filled), 'folder')} with pictures; a folder for each of two or "
            "more classes is needed"
        )
    if empty := [label for label in found if label not in filled]:
        raise ValueError(
            f"data prepare: class folder {str(source / empty[0])!r} has no picture; remove it, or put in two at least"
        )
    return found


class Pictures:
    """Reads pictures of one size; those that cannot be read are left out, named and counted."""

    def __init__(self, size: int):
        self.size, self.seen = size, 0
        self.damaged: list[str] = []

    def read(self, encoded: Encoded) -> UInt8[np.ndarray, "size size 3"] | None:
        """The picture, or None where it is damaged; refuses once they are too many."""
        self.seen += 1
        try:
            return resized(encoded.file, self.size)
        except (OSError, SyntaxError, ValueError) as error:  # what PIL raises
            self.damaged.append(f"{encoded.name} ({error})")
        if len(self.damaged) > max(1.0, DAMAGED_SHARE * self.seen):
            raise ValueError(
                f"data prepare: {len(self.damaged)} of the first {self.seen} pictures cannot be read, more than "
                f"{DAMAGED_SHARE:.1%}: {'; '.join(self.damaged[:3])}"
            )
        return None


def resized(file: Path | IO[bytes], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The middle of the picture, its shorter side scaled to `size` pixels (bilinear)."""
    from PIL import Image, ImageOps

    with Image.open(file) as image:
        image.draft("RGB", (size, size))  # a JPEG is decoded at a half, a quarter or an eighth of its size
        whole = ImageOps.exif_transpose(image).convert("RGB")
    return np.asarray(ImageOps.fit(whole, (size, size), Image.Resampling.BILINEAR))


def write_pictures(
    name: str,
    splits: Mapping[str, Iterator[Encoded]],
    classes: Sequence[str],
    size: int,
    *,
    several: bool = False,
) -> Path:
    """Writes pictures in one size to the folder of TFDS, whole or not at all; `several` labels each, or one."""
    import tensorflow_datasets as tfds

    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"data prepare: --size must be from 1 to {MAX_SIZE} pixels, got {size}")
    pictures, target = Pictures(size), "labels" if several else "label"

    def examples(split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for encoded in splits[split]:
            if (image := pictures.read(encoded)) is not None:
                yield encoded.key, {"image": image, target: encoded.label}

    class FromPictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """The data set, which TFDS shuffles by a hash of the names of classes and the numbers of pictures."""

        def _info(self):
            image = tfds.features.Tensor(
                shape=(size, size, 3), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
            )
            one = tfds.features.ClassLabel(names=list(classes))
            features = {"image": image, target: tfds.features.Sequence(one) if several else one}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager: Any) -> Any:
            del dl_manager
            return {split: examples(split) for split in splits}

        def _generate_examples(self):
            raise NotImplementedError  # splits come with their examples

    FromPictures.name, FromPictures.VERSION = name, tfds.core.Version(VERSION)
    builder: Any = FromPictures(data_dir=tfds_folder(), file_format="array_record")
    folder = Path(builder.data_dir)
    if folder.exists():
        raise ValueError(f"data prepare: {folder} is there already; remove it first")
    with contextlib.redirect_stdout(sys.stderr):  # TFDS prints; stdout is for results
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    if pictures.damaged:
        print(
            f"left out: {counted(len(pictures.damaged), 'damaged picture')}: {pictures.damaged[0]}",
            file=sys.stderr,
        )
    return folder
