"""Files that are damaged: stores, their logs, checkpoints, caches, specifications, results."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import jax
import numpy as np
from store_chunks import IDENTITY, make_chunk, make_result

from lr_batch.engine import Checkpoint, ChunkResult
from runs.cache import remembered
from runs.program_cache import CheckedEntries
from runs.store import Store
from runs.store.checkpoint import load_checkpoint, save_checkpoint
from runs.workers import outcome
from runs.workers.errors import Damaged
from runs.workers.folder import WorkFolder, name_of
from tests.faults.outcomes import AGAIN, WHOLE, LeftBehind, Wrong

CHUNKS, PAGE = 12, 4096


def damage(path: Path, draw: random.Random) -> str:
    """Flips bits, cuts, zeroes a page or deletes; returns which."""
    how, size = draw.choice(("flip", "flip", "truncate", "zero", "delete")), path.stat().st_size
    if how == "delete":
        path.unlink()
    elif how == "truncate":
        os.truncate(path, draw.randrange(size + 1))
    elif size:
        with path.open("r+b") as file:
            for _ in range(draw.choice((1, 1, 8)) if how == "flip" else 1):
                at = draw.randrange(size)
                at -= at % PAGE if how == "zero" else 0
                file.seek(at)
                old = file.read(PAGE if how == "zero" else 1)
                file.seek(at)
                file.write(bytes(len(old)) if how == "zero" else bytes([old[0] ^ 1 << draw.randrange(8)]))
    return how


def damaged_store(folder: Path, draw: random.Random) -> str:
    """A store, closed or killed while its log was full."""
    with Store(folder / "first", full_sync=False) as store:
        store.describe(IDENTITY.described())
        for size in range(1, CHUNKS):
            store.save(make_chunk(size), make_result(make_chunk(size)))
        if killed := draw.random() < 0.5:
            shutil.copytree(folder / "first", folder / "study")
    if not killed:
        shutil.copytree(folder / "first", folder / "study")
    files = [path for path in sorted((folder / "study").glob("*.sqlite*")) if path.stat().st_size]
    damage(draw.choice(files), draw)
    with Store(folder / "study") as store:
        again = [size for size in range(1, CHUNKS) if not as_saved(store.load(make_chunk(size)), size)]
        for size in again:
            store.save(make_chunk(size), make_result(make_chunk(size)))
    with Store(folder / "study", read_only=True) as store:
        if store.verify() or not all(
            as_saved(store.load(make_chunk(size)), size) for size in range(1, CHUNKS)
        ):
            raise Wrong("the store is not whole after everything ran again")
    left = [path.name for path in (folder / "study").iterdir() if path.name.startswith(".")]
    if left:
        raise LeftBehind(", ".join(left))
    return AGAIN if again else WHOLE


def as_saved(found: object, size: int) -> bool:
    """False where a chunk is not done; raises where it came back with other numbers."""
    if not isinstance(found, ChunkResult):
        return False
    _same_rows(found, make_result(make_chunk(size)))
    return True


def _same_rows(found: ChunkResult, saved: ChunkResult) -> None:
    for name, one, other in zip(ChunkResult._fields, found, saved, strict=True):
        alike = (
            one == other
            if isinstance(one, str | tuple | int | float)
            else np.array_equal(one, other, equal_nan=True)
        )
        # What the lanes share is in a row of its own, which may be lost while theirs are whole.
        if not alike and name not in ("seconds", "events"):
            raise Wrong(f"{name} is {one}, was {other}")


def damaged_checkpoint(folder: Path, draw: random.Random) -> str:
    saved = [Checkpoint(step, {"w": np.full(500, step, np.float32)}) for step in (1, 2)]
    for lanes in saved:
        save_checkpoint(folder / "lanes", lanes)
    damage(draw.choice([path for path in sorted(folder.rglob("*")) if path.is_file()]), draw)
    found = load_checkpoint(folder / "lanes")
    if found is None:
        return AGAIN
    if not np.array_equal(jax.tree.leaves(found.carry)[0], np.full(500, found.step, np.float32)):
        raise Wrong(f"lanes of step {found.step} are others")
    return WHOLE if found.step == 2 else AGAIN


def damaged_cache(folder: Path, draw: random.Random) -> str:
    """Programs and choices in the user's cache."""
    with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(folder)}):
        return _damaged_cache(folder, draw)


def _damaged_cache(folder: Path, draw: random.Random) -> str:
    programs = folder / "lr-batch" / "programs"
    programs.mkdir(parents=True, mode=0o700)
    programs.parent.chmod(0o700)
    checked, whole = CheckedEntries(programs), draw.randbytes(1000)
    (programs / "one-cache").write_bytes(whole)
    checked.sign()
    remembered("study", lambda: "map")
    damage(draw.choice([path for path in sorted(folder.rglob("*")) if path.is_file()]), draw)
    CheckedEntries(programs).sign()
    entry = programs / "one-cache"
    if entry.exists() and entry.read_bytes() != whole:
        raise Wrong("a damaged program would be run")
    chosen = remembered("study", lambda: "vmap")
    if chosen not in ("map", "vmap"):
        raise Wrong(f"lanes are executed by {chosen!r}")
    return WHOLE if entry.exists() and chosen == "map" else AGAIN


def damaged_document(folder: Path, draw: random.Random) -> str:
    """A specification, claim, result or worker's file in a folder of workers."""
    shared, chunk = WorkFolder(folder / "w"), make_chunk()
    said, name = {"chunk": chunk.id, "numbers": [0.1, 2, None]}, name_of(3, chunk.id)
    shared.issue(name, said)
    shared.take(name, {"worker": "one"})
    rows = make_result(chunk)
    (folder / "w" / "results" / f"{chunk.id}.json").write_bytes(b"")
    shared.deliver(chunk.id, "nobody", outcome.of_rows(chunk, rows))
    damage(draw.choice([path for path in sorted(folder.rglob("*.json"))]), draw)
    shared = WorkFolder(folder / "w")
    if shared.specification(name) not in (None, said):
        raise Wrong("a specification is another")
    if any(claim not in ({"worker": "one"}, {"worker": ""}) for _, claim in shared.claims()):
        raise Wrong("a claim is another")
    try:
        _same_rows(outcome.rows_of(chunk, shared.result(chunk.id)), rows)
    except (Damaged, FileNotFoundError):
        return AGAIN
    return WHOLE if shared.specification(name) and list(shared.claims()) else AGAIN


KINDS: dict[str, Callable[[Path, random.Random], str]] = {
    "store": damaged_store,
    "checkpoint": damaged_checkpoint,
    "cache": damaged_cache,
    "document": damaged_document,
}
