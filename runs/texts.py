"""Data sets of texts as folders of TFDS: LM1B and C4 from their files as published, and texts of one's own."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lr_batch.data import tfds_folder
from runs.text_files import lines_of, text_files, text_of

Example = tuple[str, dict[str, str]]
Examples = Callable[[], Iterator[Example]]

PIECES = 32_768  # of a vocabulary where none is asked for
LM1B_TOP = "1-billion-word-language-modeling-benchmark-r13output"
LM1B_FILES = {
    "train": "training-monolingual.tokenized.shuffled/news.en-*",
    "test": "heldout-monolingual.tokenized.shuffled/news.en.heldout-*",
}
C4_FILES = {"train": "c4-train.*.json*", "validation": "c4-validation.*.json*"}
C4_FEATURES = ("text", "url", "content-type", "content-length", "timestamp")
LINES, PARAGRAPHS = "lines", "paragraphs"
CUTS = (LINES, PARAGRAPHS)
FOLDERS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
HELD_OUT_EVERY = 10  # file, or the last tenth of the texts of each where there are fewer
VERSION = "1.0.0"


def prepare_lm1b(folder: Path) -> Path:
    """Writes the One Billion Word Benchmark (Chelba et al., 2013): an example is a line of its files."""
    top = folder / LM1B_TOP if (folder / LM1B_TOP).is_dir() else folder
    splits = {split: _files(top, pattern) for split, pattern in LM1B_FILES.items()}

    def examples(split: str) -> Iterator[Example]:
        for path in splits[split]:  # with the keys of TFDS, by which it shuffles
            yield from ((f"{path.name}_{i}", {"text": line.strip()}) for i, line in enumerate(lines_of(path)))

    return _written("lm1b", {split: lambda split=split: examples(split) for split in splits})


def prepare_c4(folder: Path) -> Path:
    """Writes C4 (Raffel et al., 2020) from its files of JSON, a document in each line."""
    top = folder / "en" if (folder / "en").is_dir() else folder
    splits = {split: _files(top, pattern) for split, pattern in C4_FILES.items()}
    documents = lambda split: (row for path in splits[split] for row in _documents(path))
    return _written("c4", {split: lambda split=split: documents(split) for split in splits}, config="en")


def _documents(path: Path) -> Iterator[Example]:
    for number, line in enumerate(lines_of(path)):
        try:
            document = json.loads(line)
            text = document["text"]
            filled = {name: str(document.get(name, "")) for name in C4_FEATURES}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"data prepare: {path} line {number + 1} is no document of C4 (JSON with text): {error!r}"
            ) from error
        yield f"{path.name}_{number}", filled | {"text": text}


def prepare_texts(name: str, folder: Path, cut: str | None = None) -> Path:
    """Writes texts of one's own: files of plain text, Markdown or HTML below a folder, cut into examples.

    Args:
      name: of the data set.
      folder: holds a folder for each split, "train" and "validation" or "test"; or files alone, of which every tenth by
        name is held out as "validation", or the last tenth of the texts of each where there are fewer than ten.
      cut: "lines" or "paragraphs", at empty lines; None for paragraphs.

    Raises:
      ValueError: in one line: no text, nothing to hold out, or another encoding than UTF-8.
    """
    cut = cut or PARAGRAPHS
    found = {
        FOLDERS[part.name.lower()]: part
        for part in folder.iterdir()
        if part.is_dir() and part.name.lower() in FOLDERS
    }
    if found:
        if "train" not in found or len(found) < 2:
            raise ValueError(
                f"data prepare: {folder} has the folder {next(iter(found))!r}; give files of text alone, or train/ and "
                "validation/ or test/ that hold them"
            )
        splits = {split: _texts_in(text_files(place), cut) for split, place in found.items()}
    else:
        splits = _split(text_files(folder), cut)
    for split, texts in splits.items():
        if next(texts(), None) is None:
            raise ValueError(
                f"data prepare: {folder} has no text for {split}; give files in UTF-8 that end in .txt, .md, .rst or "
                ".html, with at least two texts"
            )
    return _written(name, splits)


def _split(files: Sequence[Path], cut: str) -> dict[str, Examples]:
    if len(files) >= HELD_OUT_EVERY:
        held_out = files[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
        train = [path for path in files if path not in set(held_out)]
        return {"train": _texts_in(train, cut), "validation": _texts_in(held_out, cut)}
    parts = {"train": lambda number, total: number < total - max(1, total // HELD_OUT_EVERY)}
    parts["validation"] = lambda number, total: not parts["train"](number, total)
    return {split: _texts_in(files, cut, part) for split, part in parts.items()}


def _texts_in(
    files: Sequence[Path], cut: str, part: Callable[[int, int], bool] = lambda number, total: True
) -> Examples:
    def examples():
        for place, path in enumerate(files):
            texts = cut_texts(text_of(path), cut)
            kept = (number for number in range(len(texts)) if part(number, len(texts)))
            yield from ((f"{place:06d}_{number:08d}", {"text": texts[number]}) for number in kept)

    return examples


def cut_texts(text: str, cut: str) -> list[str]:
    """Its lines, or its paragraphs with single spaces; none that is empty.

    >>> cut_texts("One\\ntwo.\\n\\nThree.", "paragraphs")
    ['One two.', 'Three.']
    """
    parts = text.split("\n") if cut == LINES else re.split(r"\n\s*\n", text)
    spaced = (" ".join(part.split()) for part in parts)
    return [part for part in spaced if part]


def _files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise ValueError(
            f"data prepare: {folder} has no {pattern}; unpack the files as they are published, and give their folder"
        )
    return found


def _written(name: str, splits: Mapping[str, Examples], config: str | None = None) -> Path:
    """Writes texts to the folder of TFDS, whole or not at all."""
    import tensorflow_datasets as tfds

    class FromTexts(_base(name), skip_registration=True):  # pyright: ignore[reportGeneralTypeIssues]
        """The data set as TFDS describes it, where it does, its texts taken from files."""

        def _split_generators(self, dl_manager: Any, *args: Any) -> Any:
            del dl_manager, args
            return {split: texts() for split, texts in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError  # splits come with their examples

    FromTexts.name = name
    options = {"config": config} if config else {}
    builder: Any = FromTexts(data_dir=tfds_folder(), file_format="array_record", **options)  # pyright: ignore
    folder = Path(builder.data_dir)
    if folder.exists():
        raise ValueError(f"data prepare: {folder} is there already; remove it first")
    with contextlib.redirect_stdout(sys.stderr):  # TFDS prints; stdout is for results
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return folder


def _base(name: str) -> Any:
    """The class of TFDS for a data set, or one for texts alone."""
    import tensorflow_datasets as tfds

    if name == "lm1b":
        return tfds.builder_cls(name)
    if name == "c4":
        from tensorflow_datasets.text.c4 import C4  # which has to be imported to be known

        return C4

    class Texts(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """Texts of one's own."""

        VERSION = tfds.core.Version(VERSION)

        def _info(self):
            features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
            return tfds.core.DatasetInfo(builder=self, features=features)

    return Texts
