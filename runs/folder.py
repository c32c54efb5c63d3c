"""Folders of results: their names, what each of them is for, and who may write to it.

Every command that keeps something does it in a folder with a store, which has a lease and a description: kind,
command, identity of the study, versions.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from lr_batch.engine import fingerprint
from runs.store import Store, StoreError, StudyChanged
from runs.store.database import NAME
from runs.store.errors import BadFolder
from runs.store.study import Description
from runs.workers.layout import MARKER
from runs.write import plain

RESULTS = Path("lr-batch-results")
OUTCOMES = ("summary.json", "bench.json")  # what a folder of an older version may hold without a store
KEPT_ENDINGS = (".html", ".npz", ".pdf", ".png", ".svg")
KEPT = "interrupted; everything finished is kept, the same command goes on from there"

# What was typed after `lr-batch`; empty where a function was called from Python.
ARGUMENTS: ContextVar[Sequence[str]] = ContextVar("arguments", default=())


def typed() -> str:
    """The command as a shell reads it, "" where there was none."""
    words = shlex.join(["lr-batch", *ARGUMENTS.get()]) if ARGUMENTS.get() else ""
    return words.encode(errors="surrogateescape").decode(errors="backslashreplace")  # a path need not be text


def file_name(text: str) -> str:
    """`text` as the name of a file, with nothing in it that a file system could mind.

    >>> file_name("../../my.py:sgd")
    'my.py_sgd'
    """
    return re.sub(r"[^\w.-]+", "_", text)[:80].lstrip("._") or "_"


def default_folder(kind: str, names: Sequence[str], study: Mapping[str, Any]) -> Path:
    """`lr-batch-results/KIND-NAME-...-HASH`; curves, the main job, go without their kind."""
    words = names if kind == "curve" else [kind, *names]
    return RESULTS / f"{file_name('-'.join(words))}-{fingerprint(plain(study))[:8]}"


@contextmanager
def results(
    folder: Path, kind: str, study: Mapping[str, Any], *, extend: bool = False
) -> Generator[Store, None, None]:
    """The store of `folder`, opened for one study: nobody else writes to it meanwhile.

    Raises:
      runs.store.StoreError: the folder cannot be used, or holds another study.
      KeyboardInterrupt: saying what is kept.
    """
    _refuse_undescribed(folder)
    if (folder / MARKER).exists():
        raise BadFolder(f"{folder}: is a folder of workers (--workers-dir); name another --out")
    try:
        with Store(folder) as store:
            store.describe(plain(study), kind=kind, command=typed(), extend=extend)
            yield store
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(str(interrupt) or KEPT) from None


def kind_of(folder: Path) -> Description:
    """What a folder is for.

    Raises:
      StoreError: there is no store in it, or nothing in it says so.
    """
    _refuse_undescribed(folder)
    with Store(folder, read_only=True) as store:
        known = store.description
    if known is None:
        raise StoreError(
            f"{folder}: does not say what it is for: nothing was finished in it, or all was lost"
        )
    return known if known.kind else known._replace(kind="tune" if "search" in known.study else "curve")


def part(folder: Path, name: str) -> Path:
    """The folder of one of several studies in `folder`."""
    inside = folder / file_name(name)
    if inside.is_symlink():
        raise StudyChanged(f"{inside}: is a link, which is not followed here; remove it")
    return inside


def keeps(path: Path) -> bool:
    """Whether a run keeps something under this name, in whatever folder of results it lies."""
    path = path.absolute()
    name, folders = (
        path.name.lower(),
        [folder for folder in path.resolve().parents if (folder / NAME).exists()],
    )
    if name.startswith(("store.sqlite", "lease.sqlite", "progress.json")):
        return True
    below = [path.resolve().relative_to(folder).parts[0] for folder in folders]
    return bool(folders) and (
        name.endswith(KEPT_ENDINGS) or name in OUTCOMES or {"lanes", "chunks"} & {*below} != set()
    )


def _refuse_undescribed(folder: Path) -> None:
    found = [name for name in OUTCOMES if (folder / name).exists()]
    if found and not (folder / NAME).exists():
        raise StudyChanged(
            f"{folder}: holds {found[0]} of an older lr-batch, which did not say of which study; "
            "move that file away to go on here, or name another folder"
        )
