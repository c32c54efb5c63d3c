"""Prepares data sets: writes local files into the TFDS folder, offline and without TensorFlow."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lr_batch.data import FROM_PICTURES, Images, load_prepared, read_idx, tfds_folder, train_vocabulary
from runs.convert import INFO, convert, convert_to_size
from runs.imagenet import has_archives, read_archives
from runs.open_images import read_open_images
from runs.pictures import prepare_pictures, write_pictures
from runs.texts import PIECES, prepare_c4, prepare_lm1b, prepare_texts

MNIST_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
CIFAR_FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
CIFAR_RECORD = 1 + 3 * 32 * 32


def prepare(
    name: str,
    source: str | Path,
    size: int | None = None,
    pieces: int | None = None,
    cut: str | None = None,
) -> Path:
    """Writes the data set `name` from the files in the folder `source`; returns the folder written.

    mnist and fashion_mnist are read from the four IDX files, plain or gzipped;
    cifar10 from the six files of its binary version. An existing data set is left
    as it is. It appears under its final name only when it is complete (TFDS
    writes to another name and renames). Any other name is one of pictures in folders, one for
    each class, in one `size` of pixels. A folder of TFDS becomes one in `array_record`, with a `size` one of
    pictures that need no decoding. lm1b and c4 are read from their files of text as published; with `pieces` or `cut`
    any other name is one of texts of one's own, see `runs.texts`. Texts get a vocabulary of so many pieces.

    Raises:
      ValueError: in one line, if the data set is unknown or a file is missing,
        damaged, or does not fit the others.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise ValueError(f"data prepare: {folder} is not a folder")
    if not re.fullmatch("[a-z][a-z0-9_]*", name):  # as TFDS wants them
        raise ValueError(
            f"data prepare: a name has small letters, digits and _, such as my_pictures, got {name!r}"
        )
    texts = name in TEXTS or pieces is not None or cut is not None
    if texts and size is not None:
        raise ValueError(f"data prepare: --size is of pictures, and {name} is made of texts; leave it out")
    if (folder / INFO).is_file():
        written = convert(name, folder) if size is None else convert_to_size(name, folder, size)
        return _with_vocabulary(written, pieces) if texts else written
    if texts:
        written = TEXTS[name](folder) if name in TEXTS else prepare_texts(name, folder, cut)
        return _with_vocabulary(written, pieces)
    if size is not None:
        return _prepare_pictures(name, folder, size)
    if name in FROM_PICTURES:
        raise ValueError(
            f"data prepare: {name} needs --size PIXELS, to which its pictures are decoded once, such as 224"
        )
    if name not in READERS:
        raise ValueError(
            f"data prepare: unknown data set {name!r}; known: {', '.join((*READERS, *TEXTS, *FROM_PICTURES))}; pictures "
            "in a folder for each class take --size PIXELS, texts --vocabulary PIECES"
        )
    splits = READERS[name](folder)
    with contextlib.redirect_stdout(sys.stderr):  # TFDS prints; stdout is for results.
        written = _write(name, splits)
    loaded = load_prepared(name)  # Decodes once, now, so that the first study starts at once.
    for split, images in splits.items():
        if not np.array_equal(np.bincount(loaded[split].y), np.bincount(images.y)):
            raise ValueError(f"data prepare: {written} holds other data than {folder}; remove it first")
    return written


def _prepare_pictures(name: str, folder: Path, size: int) -> Path:
    if name == "imagenet2012" and has_archives(folder):
        return write_pictures(name, *read_archives(folder), size)
    if name == "open_images_v4":
        return write_pictures(name, *read_open_images(folder), size, several=True)
    return prepare_pictures(name, folder, size)


def _with_vocabulary(folder: Path, pieces: int | None) -> Path:
    try:
        train_vocabulary(folder, PIECES if pieces is None else pieces)
    except ValueError as error:
        raise ValueError(f"{error}; the texts are in {folder}, their vocabulary is not") from error
    return folder


def read_mnist(folder: Path) -> Mapping[str, Images]:
    """The splits of MNIST or Fashion-MNIST from IDX files."""
    return {split: _idx_pair(folder, *files) for split, files in MNIST_FILES.items()}


def read_cifar10(folder: Path) -> Mapping[str, Images]:
    """The splits of CIFAR-10 from records of one label byte and 3 x 32 x 32 bytes of pixels."""
    return {
        split: _cifar_split([_find(folder, name) for name in names]) for split, names in CIFAR_FILES.items()
    }


READERS: Mapping[str, Callable[[Path], Mapping[str, Images]]] = {
    "fashion_mnist": read_mnist,
    "mnist": read_mnist,
    "cifar10": read_cifar10,
}


TEXTS: Mapping[str, Callable[[Path], Path]] = {"lm1b": prepare_lm1b, "c4": prepare_c4}


def _idx_pair(folder: Path, images_name: str, labels_name: str) -> Images:
    images, labels = read_idx(_find(folder, images_name)), read_idx(_find(folder, labels_name))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"data prepare: {images_name} has shape {images.shape} and {labels_name} {labels.shape}; "
            "expected (n, height, width) and (n,)"
        )
    return Images(images[..., None], _checked_labels(labels, labels_name))


def _cifar_split(paths: list[Path]) -> Images:
    for path in paths:
        size = path.stat().st_size
        if size == 0 or size % CIFAR_RECORD:
            raise ValueError(f"data prepare: {path} has {size} bytes, which is no multiple of {CIFAR_RECORD}")
    records = np.concatenate([np.fromfile(path, np.uint8).reshape(-1, CIFAR_RECORD) for path in paths])
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Images(np.ascontiguousarray(pixels), _checked_labels(records[:, 0], paths[0].name))


def _checked_labels(labels: UInt8[np.ndarray, " n"], name: str) -> np.ndarray:
    if labels.size == 0 or labels.max() > 9:
        raise ValueError(f"data prepare: {name} should hold labels 0 to 9")
    return labels.astype(np.int32)


def _find(folder: Path, name: str) -> Path:
    """The file `name` or `name.gz`; some copies write `.idx3` where others write `-idx3`."""
    candidates = [folder / spelled for spelled in (name, f"{name}.gz", name.replace("-idx", ".idx"))]
    for path in candidates:
        if path.is_file():
            return path
    raise ValueError(f"data prepare: {folder} has neither {candidates[0].name} nor {candidates[1].name}")


def _write(name: str, splits: Mapping[str, Images]) -> Path:
    import tensorflow_datasets as tfds
    from PIL import Image

    def examples(split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        # TFDS encodes arrays by TensorFlow, but images of PIL by PIL. Its MNIST builders number the examples
        # too, and order them by a hash of the number: the same data, in the same order.
        for i, (pixels, label) in enumerate(zip(*splits[split], strict=True)):
            image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
            known = {"id": f"{split}_{i:05d}", "image": image, "label": label}
            yield i, {feature: known[feature] for feature in builder.info.features}  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]

    class FromFiles(tfds.builder_cls(name), skip_registration=True):
        """The data set as TFDS describes it, its examples taken from memory and not from a download."""

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            del dl_manager
            return {split: examples(split) for split in splits}

    FromFiles.name = name
    builder: Any = FromFiles(  # pyright: ignore[reportAbstractUsage] the rest comes from the class of the name
        data_dir=tfds_folder(), file_format="array_record"
    )
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return Path(builder.data_dir)
