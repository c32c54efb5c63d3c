"""What is damaged in a folder of results, and what would run again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runs.kept_json import read_kept
from runs.regularize.array_store import ArrayStore
from runs.store import Store, StoreError
from runs.store.checkpoint import damaged_lanes
from runs.store.database import NAME

# JSON with a checksum, by the kind of its folder, and what is lost by it: most is read off the store again.
DOCUMENTS = {
    ("curve", "summary.json"): "",
    ("compare", "summary.json"): "",
    ("tune", "summary.json"): "",
    ("regularize", "summary.json"): "",
    ("transfer", "summary.json"): "its check of layers",
    ("noise-scale", "summary.json"): "its training, once that file is removed",
    ("bench", "bench.json"): "the benchmark",
    ("curve", "noise_scale.json"): "the noise scale of its best setting",
}


class Finding(NamedTuple):
    """Damage in `folder`; `again` names what is lost by it, "" where nothing is."""

    folder: Path
    damage: str
    again: str = ""

    def __str__(self) -> str:
        return f"{self.folder}: {self.damage}" + (f"; runs again: {self.again}" if self.again else "")


def verify(folder: Path) -> list[Finding]:
    """All damage in a folder and in the folders of its studies; empty where there is none.

    Raises:
      StoreError: there is nothing of lr-batch in the folder, or its store cannot be read at all.
    """
    with Store(folder, read_only=True) as store:
        known = store.description
        found = [*_of_store(folder, store), *_of_lanes(folder), *_of_arrays(folder)]
    found += _of_documents(folder, known.kind if known else "")
    for inside in parts(folder, known.study if known else {}):
        try:
            found += verify(inside)
        except StoreError as error:
            found.append(Finding(inside, str(error), "all of it"))
    return found


def parts(folder: Path, study: Mapping[str, Any]) -> list[Path]:
    """The folders of the studies that a comparison or a transfer is made of."""
    if "folders" in study:
        return [folder / path for path in study["folders"].values()]
    return sorted(path.parent for path in folder.glob(f"*/{NAME}"))


def _of_store(folder: Path, store: Store) -> Iterator[Finding]:
    if store.damage:
        yield Finding(folder, store.damage.removeprefix(f"{folder}/"), "what could not be read")
    for bad in store.verify():
        again = f"batch size {bad.batch_size}, seed {bad.seed}" if bad.table in ("chunks", "trials") else ""
        yield Finding(folder, str(bad), again)
    for row in store.strangers():
        yield Finding(folder, f"trial {row.config_hash}, seed {row.seed} is of another study and is left out")


def _of_lanes(folder: Path) -> Iterator[Finding]:
    for path in damaged_lanes(folder / "lanes"):
        yield Finding(
            folder, f"checkpoint {path.relative_to(folder)} is damaged", "its chunk, from the one before"
        )


def _of_arrays(folder: Path) -> Iterator[Finding]:
    for path in ArrayStore(folder, read_only=True).damaged():
        yield Finding(folder, f"{path.relative_to(folder)} is damaged", "its chunk")


def _of_documents(folder: Path, kind: str) -> Iterator[Finding]:
    for (of, name), again in DOCUMENTS.items():
        if of == kind:
            try:
                read_kept(folder / name)
            except FileNotFoundError:
                pass
            except (OSError, ValueError):
                yield Finding(folder, f"{name} is damaged", again)
