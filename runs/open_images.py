"""Open Images V4 from its pictures and its tables of labels as they are published."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from runs.pictures import Encoded

SPLITS = ("train", "validation", "test")
TABLES = ("machine", "human")  # the second corrects the first
TABLE = "{split}-annotations-{kind}-imagelabels.csv"
TRAINABLE = "object_detection/open_images_classes_trainable.txt"  # of TFDS: the 7,186 labels
SURE = 0.5  # confidence of a machine's label that counts


def read_open_images(folder: Path) -> tuple[Mapping[str, Iterator[Encoded]], list[str]]:
    """Pictures of the splits with their labels, and all labels that are trained on.

    A label is one that a person has confirmed, or that a machine gives half of its confidence or more and nobody has
    denied. The folder holds train/, validation/ and, if wanted, test/ with pictures IMAGE_ID.jpg, and their tables.

    Raises:
      ValueError: in one line, if a split or a table is missing or has another form.
    """
    labels = (files("tensorflow_datasets") / TRAINABLE).read_text().split()
    known = {label: label for label in labels}
    there = [split for split in SPLITS if (folder / split).is_dir()]
    if not {"train", "validation"} <= set(there):
        raise ValueError(
            f"data prepare: {folder} needs train/ and validation/ with pictures IMAGE_ID.jpg, and beside them tables "
            f"such as {TABLE.format(split='train', kind='human')}"
        )
    return {split: _pictures(folder, split, labels_of(folder, split, known)) for split in there}, labels


def labels_of(folder: Path, split: str, known: Mapping[str, str]) -> dict[str, set[str]]:
    """The labels of each picture of a split, by its id; `known` holds each label once."""
    paths = [folder / TABLE.format(split=split, kind=kind) for kind in TABLES]
    if not any(path.is_file() for path in paths):
        raise ValueError(f"data prepare: {folder} has neither {paths[0].name} nor {paths[1].name}")
    found: dict[str, set[str]] = {}
    for path in (path for path in paths if path.is_file()):
        for picture, label, confidence in _rows(path, known):
            labels = found.setdefault(picture, set())
            labels.add(label) if confidence >= SURE else labels.discard(label)
    return found


def _rows(path: Path, known: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        try:
            for row in rows:
                if row["LabelName"] in known:
                    yield row["ImageID"], known[row["LabelName"]], float(row["Confidence"])
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(
                f"data prepare: {path} line {rows.line_num} is no row of ImageID, LabelName, Confidence: {error!r}"
            ) from error


def _pictures(folder: Path, split: str, labels: Mapping[str, set[str]]) -> Iterator[Encoded]:
    for path in sorted((folder / split).glob("*.jpg")):
        yield Encoded(str(path), path, path.stem, sorted(labels.get(path.stem, ())))
