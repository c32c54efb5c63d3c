"""Data that stand in for a data set that cannot be had: in a folder of their own, where TFDS never looks.

They are arrays in one file, as small as they are: pictures with labels, or texts one behind the other.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Num, UInt8

from lr_batch.data.hash import hash_arrays
from lr_batch.data.prepared import (
    FROM_FILES,
    FROM_PICTURES,
    FROM_TEXTS,
    STAND_INS,
    DataNotPrepared,
    Images,
    is_prepared,
    tfds_folder,
)

FOLDER, VERSION, FILE = "stand-in", "1.0.0", "arrays.npz"
PARTS = ("train", "held_out")
PREPARED, STAND_IN, MISSING = "prepared", "stand-in", "missing"


class Texts(NamedTuple):
    """Texts in UTF-8."""

    x: UInt8[np.ndarray, " bytes"]  # of all of them, one behind the other
    y: Num[np.ndarray, " n"]  # bytes of each


class Parts(NamedTuple):
    """A stand-in: what is trained on, what is held out, and what it is."""

    train: Any
    held_out: Any
    about: str


def stand_in_folder(name: str) -> Path:
    """Where the stand-in of a data set lies, whether it is there or not."""
    return tfds_folder() / FOLDER / name / VERSION


def data_state(name: str) -> str:
    """What a workload on a data set would be trained on: "prepared", "stand-in", or "missing"."""
    if name in (*FROM_FILES, *FROM_PICTURES, *FROM_TEXTS) and is_prepared(name):
        return PREPARED
    return STAND_IN if (stand_in_folder(name) / FILE).is_file() else MISSING


def load_stand_in(name: str) -> Parts:
    """The stand-in of a data set.

    Raises:
      DataNotPrepared: if there is none.
      ValueError: in one line, if its file is damaged.
    """
    path = stand_in_folder(name) / FILE
    if not path.is_file():
        raise DataNotPrepared(name)
    try:
        with np.load(path) as stored:
            kind = Images if stored["train_x"].ndim > 1 else Texts
            parts = {part: kind(stored[f"{part}_x"], stored[f"{part}_y"]) for part in PARTS}
            whole = str(stored["hash"]) == hash_arrays(parts)
            about = str(stored["about"]) if "about" in stored else STAND_INS[name]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        whole, about = False, ""
    if not whole:
        raise ValueError(
            f"the stand-in of {name} is damaged: {path}; remove it and run: lr-batch data prepare {name} --standin"
        )
    return Parts(**parts, about=about)


def save_stand_in(name: str, train: Images | Texts, held_out: Images | Texts, about: str = "") -> Path:
    """Writes a stand-in, whole or not at all, and returns its folder; `about` says what it is, where it is not the usual
    one."""
    folder = stand_in_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    parts = dict(zip(PARTS, (train, held_out), strict=True))
    arrays = {
        f"{part}_{field}": array for part, pair in parts.items() for field, array in pair._asdict().items()
    }
    temporary = folder / f".{FILE}.{os.getpid()}"
    with temporary.open("wb") as file:
        np.savez_compressed(file, hash=hash_arrays(parts), about=about or STAND_INS[name], **arrays)
    temporary.replace(folder / FILE)
    return folder
