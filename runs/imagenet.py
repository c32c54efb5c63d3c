"""ImageNet (ILSVRC 2012) from the two archives as they are published, without unpacking them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from runs.pictures import Encoded

TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
# Of TFDS: names of the classes, and the labels of the pictures that are held out
FACTS = "datasets/imagenet2012"


def has_archives(folder: Path) -> bool:
    """Whether a folder holds one of them."""
    return any((folder / name).is_file() for name in (TRAIN, VALIDATION))


def read_archives(folder: Path) -> tuple[Mapping[str, Iterator[Encoded]], list[str]]:
    """Pictures of both splits, and the classes in the order of TFDS.

    Raises:
      ValueError: in one line, if one of the archives is missing.
    """
    for name in (TRAIN, VALIDATION):
        if not (folder / name).is_file():
            raise ValueError(
                f"data prepare: {folder} has no {name}; both archives are needed, as they are published"
            )
    return {"train": _train(folder / TRAIN), "validation": _validation(folder / VALIDATION)}, _lines(
        "labels.txt"
    )


def _train(path: Path) -> Iterator[Encoded]:
    """The archive holds one for each class."""
    for member, content in _members(path, None):
        label = Path(member).stem
        for name, picture in _members(path, content):
            yield Encoded(f"{path} {member} {name}", picture, name, label)


def _validation(path: Path) -> Iterator[Encoded]:
    """Labels are those of the pictures in the order of their names."""
    labels = _lines("validation_labels.txt")
    for name, picture in _members(path, None):
        number = int(Path(name).stem.rpartition("_")[2])
        yield Encoded(f"{path} {name}", picture, name, labels[number - 1])


def _members(path: Path, within: io.BytesIO | None) -> Iterator[tuple[str, io.BytesIO]]:
    """Names and contents of the files of an archive, or of one within it."""
    try:
        with tarfile.open(path if within is None else None, fileobj=within) as archive:
            for member in archive:
                if member.isfile() and (file := archive.extractfile(member)):
                    yield Path(member.name).name, io.BytesIO(file.read())
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"data prepare: {path} cannot be read: {error}") from error


def _lines(name: str) -> list[str]:
    return (files("tensorflow_datasets") / FACTS / name).read_text().split()
