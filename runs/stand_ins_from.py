"""Stand-ins made from files that somebody has: texts for LM1B and C4, pictures for CIFAR-10, ImageNet and Open Images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lr_batch.data import Images
from optim.names import counted, unknown
from runs.drawings import SUFFIX, Missing, pixels, tags
from runs.pictures import SUFFIXES
from runs.stand_ins import PARAGRAPH, SENTENCE, encoded_texts
from runs.text_files import name_of, text_files, text_of

SIZE, CLASSES = 32, 10  # as the networks of scale tiny take them
MOST_OF_A_CLASS = 600
MOST_TEXTS = 100_000
HELD_OUT_EVERY = 10  # groups of pictures, or files of text


class Made(NamedTuple):
    """Both parts of a stand-in, and what it is made of."""

    train: Any
    held_out: Any
    about: str


def made_from(name: str, folder: Path) -> Made:
    """A stand-in for a data set from the files below a folder.

    Raises:
      ValueError: in one line: none can be made from files, or there are too few.
    """
    if name not in MAKERS:
        raise ValueError(f"data prepare: {unknown('stand-in from files', name, MAKERS)}")
    if not folder.is_dir():
        raise ValueError(f"data prepare: {folder} is not a folder")
    try:
        return MAKERS[name](folder)
    except Missing as error:
        raise ValueError(str(error)) from error


def made_texts(folder: Path, *, separator: str, what: str) -> Made:
    """Texts of the files below a folder, cut at a separator; every tenth by name is held out whole.

    Files whose names differ in their endings alone are one, and a text that is there several times counts once, so that
    none is in both parts.
    """
    files = text_files(folder)
    names = sorted({name_of(path) for path in files})
    if len(names) < 2:
        raise ValueError(
            f"data prepare: {folder} has {counted(len(names), 'file')} of text (.txt, .md, .rst, .html); two at least "
            "are needed, one to train on and one that is held out"
        )
    held_out = {*(names[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY] or names[-1:])}
    seen: set[str] = set()

    def texts(paths: Iterable[Path]):
        for path in paths:
            for text in re.split(separator, text_of(path)):
                if text not in seen:
                    seen.add(text)
                    yield text

    part = lambda wanted: [path for path in files if (name_of(path) in held_out) == wanted]
    kept_out, train = (
        encoded_texts(_at_most(list(texts(part(wanted))), most))
        for wanted, most in ((True, MOST_TEXTS // HELD_OUT_EVERY), (False, MOST_TEXTS))
    )
    if not (len(train.y) and len(kept_out.y)):
        raise ValueError(f"data prepare: {folder} has no {what} of 20 bytes and more in one of both parts")
    return Made(train, kept_out, f"{what} of {_called(folder)}")


def made_classes(folder: Path) -> Made:
    """Pictures of the ten folders that hold most, a class each.

    A picture whose name is in folders of two classes is in none. Names that differ in their numbers alone are a group,
    of which every tenth is held out whole: drawings of one hand often differ in a colour.
    """
    classes = {part.name: _pictures(part) for part in sorted(folder.iterdir()) if part.is_dir()}
    places = Counter(name for found in classes.values() for name in found)
    alone = {
        label: {name: path for name, path in found.items() if places[name] == 1}
        for label, found in classes.items()
    }
    chosen = sorted(sorted(alone, key=lambda label: -len(alone[label]))[:CLASSES])
    if len(chosen) < 2 or min(len(alone[label]) for label in chosen) < HELD_OUT_EVERY:
        raise ValueError(
            f"data prepare: {folder} needs two folders at least, each with {HELD_OUT_EVERY} pictures or more of names "
            "that no other has"
        )
    labelled = [
        (path, number)
        for number, label in enumerate(chosen)
        for path in _at_most([alone[label][name] for name in sorted(alone[label])], MOST_OF_A_CLASS)
    ]
    return _made(labelled, np.int32, f"pictures of {_called(folder)}: {', '.join(chosen)}")


def made_labels(folder: Path) -> Made:
    """Drawings and which of the ten commonest tags they have, a group of drawings counted once; such as have none of
    these are left out."""
    found = {name: path for name, path in _pictures(folder).items() if path.suffix.lower() == SUFFIX}
    of = {path: tags(path) for path in found.values()}
    counted_once = {(tag, group_of(path)) for path, tagged in of.items() for tag in tagged}
    counts = Counter(tag for tag, _ in counted_once)
    common = sorted(counts, key=lambda tag: (-counts[tag], tag))[:CLASSES]
    if len(common) < CLASSES or counts[common[-1]] < HELD_OUT_EVERY:
        raise ValueError(
            f"data prepare: {folder} needs {CLASSES} tags (dc:subject of SVG), each in {HELD_OUT_EVERY} groups of "
            "drawings or more"
        )
    names = sorted(common)
    labelled = [
        (path, [int(name in of[path]) for name in names]) for path in sorted(of) if of[path] & set(names)
    ]
    return _made(
        _at_most(labelled, MOST_OF_A_CLASS * CLASSES),
        np.int32,
        f"drawings of {_called(folder)}: {', '.join(names)}",
    )


def _called(folder: Path) -> str:
    """The folder, as far as it says what it holds."""
    return "/".join(folder.resolve().parts[-2:])


def _pictures(folder: Path) -> dict[str, Path]:
    """By the name of the file: those of one name are one picture, in several folders."""
    kinds = SUFFIXES | {SUFFIX}
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in kinds)
    return {path.name: path for path in found}


def group_of(path: Path) -> str:
    """What near-duplicates share: the name without numbers.

    >>> group_of(Path("birds/eagle_frank_02.svg"))
    'eagle_frank_'
    """
    return re.sub(r"\d+", "", path.stem.lower())


def _made(labelled: Sequence[tuple[Path, Any]], dtype: Any, about: str) -> Made:
    groups = sorted({group_of(path) for path, _ in labelled})
    held_out = {*(groups[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY] or groups[-1:])}
    parts: dict[bool, list[tuple[np.ndarray, Any]]] = {False: [], True: []}
    seen: set[bytes] = set()
    for path, label in labelled:
        try:
            picture = pixels(path, SIZE)
        except (OSError, SyntaxError, ValueError):  # left out: nothing depends on any one of them
            continue
        if picture.tobytes() not in seen:
            seen.add(picture.tobytes())
            parts[group_of(path) in held_out].append((picture, label))
    if not all(parts.values()):
        raise ValueError("data prepare: too few pictures can be read: one part of the stand-in is empty")
    train, kept_out = (
        Images(np.stack([picture for picture, _ in part]), np.array([label for _, label in part], dtype))
        for part in (parts[False], parts[True])
    )
    return Made(train, kept_out, about)


def _at_most(items: Sequence[Any], most: int) -> Sequence[Any]:
    """Evenly spaced ones, where there are more."""
    if len(items) <= most:
        return items
    return [items[place] for place in np.linspace(0, len(items) - 1, most).astype(int)]


MAKERS: Mapping[str, Callable[[Path], Made]] = {
    "cifar10": made_classes,
    "imagenet2012": made_classes,
    "open_images_v4": made_labels,
    "lm1b": partial(made_texts, separator=SENTENCE, what="sentences"),
    "c4": partial(made_texts, separator=PARAGRAPH, what="paragraphs"),
}
