"""Keeps the lanes of an interrupted chunk on disk, with Orbax."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np

from lr_batch.chunk import Lanes
from runs.atomic import sync_folder, sync_tree, write_atomically

KEEP = 2
MANIFEST = "manifest"
CHECKSUMS = "checksums.json"


def save_lanes(folder: Path, lanes: Lanes) -> None:
    """Adds a checkpoint to `folder`, complete and synced or invisible; the newest `KEEP` stay.

    `lanes.carry` is any tree of arrays; only its leaves are kept, in the order of
    `jax.tree.leaves`. Typed PRNG keys have to be given as `jax.random.key_data`.
    """
    import orbax.checkpoint as ocp  # half a second, and most runs never need it

    folder.mkdir(parents=True, exist_ok=True)
    numbers = _numbers(folder)
    hidden = folder / ".writing"
    shutil.rmtree(hidden, ignore_errors=True)
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(hidden.absolute(), _pack(lanes))
    write_atomically(hidden / CHECKSUMS, json.dumps(_checksums(hidden)).encode())
    sync_tree(hidden)
    os.replace(hidden, folder / _name(max(numbers, default=0) + 1))
    sync_folder(folder)
    for number in numbers[: len(numbers) + 1 - KEEP]:
        shutil.rmtree(folder / _name(number))


def load_lanes(folder: Path) -> Lanes | None:
    """The newest whole checkpoint in `folder`, its carry the list of leaves; None if there is none."""
    for number in reversed(_numbers(folder)):
        if _is_whole(folder / _name(number)):  # checked before: Orbax fails noisily on damaged files
            return _restore(folder / _name(number))
    return None


def discard_lanes(folder: Path) -> None:
    """Forgets a chunk whose rows are safe."""
    if folder.exists():
        shutil.rmtree(folder)


def _name(number: int) -> str:
    return f"{number:06d}"


def _numbers(folder: Path) -> list[int]:
    """Numbers of the complete checkpoints, oldest first."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*"))


def _pack(lanes: Lanes) -> dict[str, np.ndarray]:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(lanes.carry)]
    manifest = {"step": int(lanes.step), "leaves": [[leaf.dtype.name, list(leaf.shape)] for leaf in leaves]}
    arrays = {_name(i): leaf for i, leaf in enumerate(leaves) if leaf.size}  # Orbax refuses empty arrays
    return {MANIFEST: np.frombuffer(json.dumps(manifest).encode(), np.uint8), **arrays}


def _unpack(arrays: dict[str, np.ndarray]) -> Lanes:
    manifest = json.loads(arrays[MANIFEST].tobytes())
    leaves = [
        np.asarray(arrays.get(_name(i), np.zeros(shape, dtype)))
        for i, (dtype, shape) in enumerate(manifest["leaves"])
    ]
    return Lanes(manifest["step"], leaves)


def _checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint, but for the list itself."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != CHECKSUMS
    }


def _is_whole(folder: Path) -> bool:
    try:
        return json.loads((folder / CHECKSUMS).read_bytes()) == _checksums(folder)
    except (OSError, ValueError):
        return False


def _restore(folder: Path) -> Lanes:
    import orbax.checkpoint as ocp

    with ocp.PyTreeCheckpointer() as checkpointer:
        return _unpack(checkpointer.restore(folder.absolute()))
