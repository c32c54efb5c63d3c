"""Subwords of a data set of texts: learnt once from what is trained on, and kept beside the records they belong to."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lr_batch.data.opened import builder_of, opened
from optim.users_error import first_line

TEXT = "text"  # feature
NUM_BYTES = 256
# Of subwords; of bytes what begins and what fills a row comes behind them
PADDING, BEGIN, END, UNKNOWN = range(4)
FEWEST, MOST = 300, 2**20  # pieces: all bytes are among them, so that every text can be written
CHARACTERS = 10_000_000  # of the training split, in its order, that pieces are learnt from
LONGEST = 2**20  # bytes of a text that is learnt from
TOLD = 100  # texts that tell one data set from another
BLOCK = 1_000  # records that are read at once


class Vocabulary(NamedTuple):
    """How texts become numbers.

    Attributes:
      size: numbers go from 0 to size - 1.
      encode: `texts in UTF-8 -> numbers of each`, a pure function of each text.
      begin: what a text begins with as input.
      padding: what fills the rest of a row.
      described: changes with the vocabulary.
    """

    size: int
    encode: Callable[[Sequence[bytes]], list[list[int]]]
    begin: int
    padding: int
    described: str


BYTES = Vocabulary(
    NUM_BYTES + 2, lambda texts: [list(text) for text in texts], NUM_BYTES, NUM_BYTES + 1, "bytes"
)


def vocabulary_path(folder: Path, pieces: int) -> Path:
    """Of the model; beside it lies what it belongs to, as JSON."""
    return folder / f"vocabulary-{pieces}.model"


def train_vocabulary(folder: Path, pieces: int) -> Path:
    """Learns `pieces` subwords by byte-pair encoding (Sennrich et al., 2016) from the training split of a folder of TFDS.

    Every single byte is a piece too. An existing vocabulary that belongs to the data is left as it is.

    Raises:
      ValueError: in one line: too few or too many pieces, too little text for them, or one that belongs to other data.
    """
    if not FEWEST <= pieces <= MOST:
        raise ValueError(f"vocabulary: pieces must be from {FEWEST} to {MOST:,}, got {pieces:,}")
    path = vocabulary_path(folder, pieces)
    if path.exists():
        load_vocabulary(folder, pieces)
        return path
    model = _learnt(folder, pieces)
    about = {"pieces": pieces, "model": hashlib.sha256(model).hexdigest(), "data": told_by_texts(folder)}
    for place, content in ((path.with_suffix(".json"), json.dumps(about).encode()), (path, model)):
        temporary = place.with_name(f".{place.name}.{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(place)
    return path


def load_vocabulary(folder: Path, pieces: int | None = None) -> Vocabulary:
    """The vocabulary of a folder, that of `pieces` pieces where there are several; with 0 the bytes of UTF-8.

    Raises:
      ValueError: in one line: there is none, it is damaged, or it belongs to other data.
    """
    if pieces == 0:
        return BYTES
    path = _found(folder, pieces)
    try:
        about, model = json.loads(path.with_suffix(".json").read_text()), path.read_bytes()
        known = str(about["model"]), str(about["data"]), int(about["pieces"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"vocabulary: {path} cannot be read: {first_line(error)}; {_again(folder, path)}"
        ) from error
    if hashlib.sha256(model).hexdigest() != known[0]:
        raise ValueError(
            f"vocabulary: {path} has another hash than when it was learnt; {_again(folder, path)}"
        )
    if told_by_texts(folder) != known[1]:
        raise ValueError(
            f"vocabulary: {path} does not belong to the data beside it: it was learnt from others; {_again(folder, path)}"
        )
    return _subwords(model, known[2], known[0])


def told_by_texts(folder: Path) -> str:
    """Tells a data set from others by its name, its size and its first texts; copying it changes nothing."""
    builder = builder_of(folder)
    source, _ = opened(builder, folder, "train")
    digest = hashlib.sha256(f"{builder.info.full_name} {len(source)}\n".encode())
    for text in texts_of(folder, min(TOLD, len(source))):
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


def texts_of(folder: Path, most: int | None = None) -> Iterator[bytes]:
    """The texts of the training split in order, those that can be read."""
    source, _ = opened(builder_of(folder), folder, "train")
    total = len(source) if most is None else most
    for first in range(0, total, BLOCK):
        yield from _block(source, range(first, min(first + BLOCK, total)))


def _block(source: Any, rows: Sequence[int]) -> Iterator[bytes]:
    try:
        yield from (example[TEXT] for example in source.__getitems__(list(rows)))
    except Exception:  # one of them is damaged: they are read one by one
        if len(rows) > 1:
            for row in rows:
                yield from _block(source, [row])


def _found(folder: Path, pieces: int | None) -> Path:
    there = sorted(int(path.stem.partition("-")[2]) for path in folder.glob("vocabulary-*.model"))
    sizes = ", ".join(map(str, there))
    if pieces is None and len(there) > 1:
        raise ValueError(f"vocabulary: {folder} has those of {sizes} pieces; say which by pieces")
    wanted = there[0] if pieces is None and there else pieces
    if wanted in there:
        return vocabulary_path(folder, wanted)
    of, others = (f" of {wanted} pieces" if wanted else ""), (f", but those of {sizes}" if there else "")
    raise ValueError(
        f"vocabulary: {folder} has no vocabulary{of}{others}; {_command(folder, wanted or 'PIECES')}"
    )


def _command(folder: Path, pieces: Any) -> str:
    name = json.loads((folder / "dataset_info.json").read_text())["name"]
    return f"run: lr-batch data prepare {name} --vocabulary {pieces}"


def _again(folder: Path, path: Path) -> str:
    return f"remove it and {_command(folder, path.stem.partition('-')[2])}"


def sentencepiece() -> Any:
    """The package, imported where subwords are learnt or used.

    Raises:
      ValueError: where it is not installed.
    """
    try:
        return importlib.import_module("sentencepiece")
    except ImportError as error:
        raise ValueError(
            f"vocabulary: subwords need SentencePiece, which cannot be imported ({error}); run: pip install "
            "'lr-batch[text]'"
        ) from error


def _learnt(folder: Path, pieces: int) -> bytes:
    package, model = sentencepiece(), io.BytesIO()
    try:
        package.SentencePieceTrainer.train(
            sentence_iterator=_sample(folder),
            model_writer=model,
            model_type="bpe",
            vocab_size=pieces,
            character_coverage=0.9995,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=LONGEST,
            pad_id=PADDING,
            bos_id=BEGIN,
            eos_id=END,
            unk_id=UNKNOWN,
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:  # such as too little text for so many pieces
        raise ValueError(
            f"vocabulary: {pieces:,} pieces cannot be learnt from {folder}: {_why(error)}"
        ) from error
    return model.getvalue()


def _why(error: Exception) -> str:
    """What the package says, in its own words where it is no matter of numbers."""
    if few := re.search(r"Vocabulary size too high.*<= (\d+)", str(error)):
        return f"it has text for {int(few[1]):,} at most"
    if many := re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error)):
        return f"its characters take {int(many[1]):,} at least"
    return first_line(error)


def _sample(folder: Path) -> Iterator[str]:
    characters = 0
    for text in texts_of(folder):
        decoded = text.decode(errors="replace")
        yield decoded
        characters += len(decoded)
        if characters > CHARACTERS:
            return


def _subwords(model: bytes, pieces: int, described: str) -> Vocabulary:
    processor = sentencepiece().SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)

    def encode(texts: Sequence[bytes]) -> list[list[int]]:
        decoded = [text.decode(errors="replace") for text in texts]
        return [[*numbers, END] for numbers in processor.encode(decoded, num_threads=1)]

    return Vocabulary(pieces, encode, BEGIN, PADDING, described)
