"""Folders of TFDS in the format `array_record`: opened without TensorFlow and without a network."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from optim.names import unknown
from optim.users_error import first_line

INFO = "dataset_info.json"


def record_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if ".array_record" in path.name)


def fingerprint(folder: Path) -> str:
    """Changes when the records do, without reading them: their names, sizes and times."""
    stats = [(path.name, path.stat()) for path in record_files(folder)]
    return hashlib.sha256(repr([(name, s.st_size, s.st_mtime_ns) for name, s in stats]).encode()).hexdigest()


def builder_of(folder: Path) -> Any:
    import tensorflow_datasets as tfds

    if not (folder / INFO).is_file():
        raise ValueError(
            f"records: {folder} is no folder of TFDS: it has no {INFO}; give that of a version, such as mnist/3.0.1"
        )
    try:
        info = json.loads((folder / INFO).read_text())
        kind, holds = info.get("fileFormat", "tfrecord"), (info["name"], info["version"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"records: {folder / INFO} cannot be read: {first_line(error)}") from error
    if kind != "array_record":
        raise ValueError(
            f"records: {folder} is in the format {kind}, in which no record can be read on its own"
        )
    # A place in a folder of data sets, which says what it should hold
    if re.fullmatch(r"\d+\.\d+\.\d+", folder.name):
        # The first may be a config
        above = (folder.absolute().parent.name, folder.absolute().parents[1].name)
        if holds[1] != folder.name or holds[0] not in above:
            raise ValueError(
                f"records: {folder} holds {holds[0]} {holds[1]}, not what its place says; prepare it again, or move it"
            )
    try:
        return tfds.builder_from_directory(folder)
    except Exception as error:  # of TFDS, whatever it is that does not fit
        raise ValueError(f"records: {folder} cannot be read: {first_line(error)}") from error


def opened(builder: Any, folder: Path, split: str) -> tuple[Any, list[tuple[str, int, int]]]:
    """Source of undecoded pictures, and its files: name, records that come before the split in it, records of it."""
    import tensorflow_datasets as tfds

    pictures = {
        name: tfds.decode.SkipDecoding()
        for name, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    try:
        files = builder.info.splits[split].file_instructions
        if not files:
            raise ValueError("it is empty")
        source = builder.as_data_source(split=split, decoders=pictures)
    except Exception as error:
        known = ", ".join(sorted(builder.info.splits))
        raise ValueError(
            f"records: split {split!r} of {folder} cannot be read: {first_line(error)}; its splits: {known}"
        ) from error
    count = lambda part: part.examples_in_shard - part.skip if part.take < 0 else part.take
    return source, [(Path(part.filename).name, part.skip, count(part)) for part in files]


def num_rows(folder: Path, split: str) -> int:
    """Records of a whole split.

    Raises:
      ValueError: in one line, where there is no such split.
    """
    splits = builder_of(folder).info.splits
    if split not in splits:
        raise ValueError(f"records: {folder}: {unknown('split', split, splits)}")
    return splits[split].num_examples
