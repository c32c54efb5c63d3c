"""A TFDS data set in `tfrecord`, in which no record can be read on its own, as one in `array_record`. No TensorFlow."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lr_batch.data import tfds_folder
from optim.names import counted
from runs.pictures import Encoded, write_pictures

INFO = "dataset_info.json"
TFRECORD, ARRAY_RECORD = "tfrecord", "array_record"
# Bytes before a record: its length and a checksum of that; after it: one of the record
LENGTH, CHECKSUM = 8, 4
POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli), reflected


def convert(name: str, source: Path) -> Path:
    """Copies the version folder `source` of a data set to the folder of TFDS, record by record in the same order.

    Raises:
      ValueError: in one line: another data set than `name`, a format that is not `tfrecord`, or a file that is missing,
        cut off or damaged, with the index of the record.
    """
    info = _info(source)
    if info["name"] != name:
        raise ValueError(f"data prepare: {source} holds {info['name']}, not {name}")
    if (kind := info.get("fileFormat", TFRECORD)) != TFRECORD:
        raise ValueError(f"data prepare: {source} is in the format {kind}; what is converted is {TFRECORD}")
    config = (info["configName"],) if info.get("configName") else ()
    folder = tfds_folder().joinpath(name, *config, info["version"])
    if folder.exists():
        raise ValueError(f"data prepare: {folder} is there already; remove it first, or set TFDS_DATA_DIR")
    temporary = folder.with_name(f"incomplete.{os.getpid()}_{folder.name}")
    temporary.mkdir(parents=True)
    try:
        for split in info["splits"]:
            _convert_split(source, temporary, name, split)
        for path in source.iterdir():
            if path.is_file() and f".{TFRECORD}" not in path.name and path.name != INFO:
                shutil.copy(path, temporary / path.name)
        (temporary / INFO).write_text(json.dumps(info | {"fileFormat": ARRAY_RECORD}, indent=2))
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def convert_to_size(name: str, source: Path, size: int) -> Path:
    """Writes the pictures of a TFDS folder, in either format, in one size; see `runs.pictures.prepare_pictures`."""
    import tensorflow_datasets as tfds

    info = _info(source)
    if info["name"] != name:
        raise ValueError(f"data prepare: {source} holds {info['name']}, not {name}")
    builder: Any = tfds.builder_from_directory(source)
    features = builder.info.features
    if not {"image", "label"} <= set(features) or not isinstance(features["label"], tfds.features.ClassLabel):
        raise ValueError(
            f"data prepare: {source} has the features {', '.join(features)}; --size takes an image and a class, label"
        )
    splits = {split["name"]: _encoded(builder, source, info, split) for split in info["splits"]}
    return write_pictures(name, splits, features["label"].names, size)


def _encoded(builder: Any, source: Path, info: dict[str, Any], split: dict[str, Any]) -> Iterator[Encoded]:
    """Pictures of a split that are not decoded."""
    import tensorflow_datasets as tfds

    decoders, features = {"image": tfds.decode.SkipDecoding()}, builder.info.features
    if info.get("fileFormat", TFRECORD) == TFRECORD:
        lengths = range(len(split["shardLengths"]))
        files = (source / shard_name(info["name"], split, shard, TFRECORD) for shard in lengths)
        records = (record for path in files for record in read_records(path))
        examples = (features.deserialize_example_np(record, decoders=decoders) for record in records)
    else:
        examples = iter(builder.as_data_source(split["name"], decoders=decoders))
    for number, example in enumerate(examples):
        label = features["label"].int2str(int(example["label"]))
        yield Encoded(
            f"{source} {split['name']} {number}", io.BytesIO(example["image"]), f"{number:010d}", label
        )


def shard_name(name: str, split: dict[str, Any], shard: int, kind: str) -> str:
    """Of a file of TFDS."""
    return f"{name}-{split['name']}.{kind}-{shard:05d}-of-{len(split['shardLengths']):05d}"


def _info(source: Path) -> dict[str, Any]:
    try:
        info = json.loads((source / INFO).read_text())
        splits = [(split["name"], split["shardLengths"]) for split in info["splits"]]
        _ = info["name"], info["version"], splits  # what is read later
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"data prepare: {source / INFO} cannot be read: {error}") from error
    return info


def _convert_split(source: Path, target: Path, name: str, split: dict[str, Any]) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    for shard, length in enumerate(map(int, split["shardLengths"])):
        path = source / shard_name(name, split, shard, TFRECORD)
        writer = ArrayRecordWriter(str(target / shard_name(name, split, shard, ARRAY_RECORD)), "group_size:1")
        written = 0
        for record in read_records(path):
            writer.write(record)
            written += 1
        writer.close()
        if written != length:
            raise ValueError(
                f"data prepare: {path} has {counted(written, 'record')}, its {INFO} says {length:,}"
            )


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a file: length, checksum of the length, record, checksum of the record."""
    if not path.is_file():
        raise ValueError(f"data prepare: {path} is missing")
    with path.open("rb") as file:
        number = 0
        while header := file.read(LENGTH + CHECKSUM):
            damaged = f"data prepare: {path} record {number} is "
            if len(header) < LENGTH + CHECKSUM:
                raise ValueError(f"{damaged}cut off")
            length, checksum = struct.unpack("<QI", header)
            if masked_crc(header[:LENGTH]) != checksum:
                raise ValueError(f"{damaged}damaged: its length has another checksum")
            record = file.read(length + CHECKSUM)
            if len(record) < length + CHECKSUM:
                raise ValueError(f"{damaged}cut off")
            yield record[:length]
            number += 1


def masked_crc(data: bytes) -> int:
    """The checksum of tfrecord: CRC-32C, rotated right by 15 bits, plus a constant.

    >>> hex(masked_crc((12).to_bytes(8, "little")))
    '0xafec8f4'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
