"""Keeps the lanes of an interrupted chunk on disk, with Orbax."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np

from lr_batch.engine import Checkpoint
from runs.store.errors import StoreError
from runs.write import sync_folder, sync_tree, write_atomically

KEEP = 2
OVERHEAD = 2**18  # bytes beside the arrays: 15 small files
MANIFEST = "manifest"
HIDDEN = ".writing"  # Orbax adds its own ending while it writes
CHECKSUMS = "checksums.json"


def save_checkpoint(folder: Path, lanes: Checkpoint) -> None:
    """Adds a checkpoint to `folder`, complete and synced or invisible; the newest `KEEP` stay.

    `lanes.carry` is any tree of arrays; only its leaves are kept, in the order of
    `jax.tree.leaves`. Typed PRNG keys have to be given as `jax.random.key_data`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = _numbers(folder)
    clear_unfinished(folder)
    try:
        _write(folder / HIDDEN, _pack(lanes))
        write_atomically(folder / HIDDEN / CHECKSUMS, json.dumps(_checksums(folder / HIDDEN)).encode())
        sync_tree(folder / HIDDEN)
        os.replace(folder / HIDDEN, folder / _name(max(numbers, default=0) + 1))
    finally:
        clear_unfinished(folder)
    sync_folder(folder)
    for number in numbers[: len(numbers) + 1 - KEEP]:
        shutil.rmtree(folder / _name(number))


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    import orbax.checkpoint as ocp  # half a second, and most runs never need it

    need = sum(array.nbytes for array in arrays.values()) + OVERHEAD
    if shutil.disk_usage(path.parent).free < need:  # Orbax would print the traceback of its thread
        raise OSError(errno.ENOSPC, f"{need / 2**20:.1f} MiB of free space needed")
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(path.absolute(), arrays)
    except Exception as error:  # what Orbax passes on from its layers below is of many types
        reason = str(error).partition("\n")[0]
        raise StoreError(f"{path.parent}: the chunk in flight was not saved: {reason}") from error


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint in `folder`, its carry the list of leaves; None if there is none."""
    for number in reversed(_numbers(folder)):
        if _is_whole(folder / _name(number)):  # checked before: Orbax fails noisily on damaged files
            return _restore(folder / _name(number))
    return None


def damaged_lanes(folder: Path) -> list[Path]:
    """Checkpoints below `folder` that are not whole."""
    found = [path for path in sorted(folder.glob("*/[0-9]*")) if not _is_whole(path)]
    return [path for path in found if path.is_dir()]


def discard_checkpoint(folder: Path) -> None:
    """Forgets a chunk whose rows are safe."""
    if folder.exists():
        shutil.rmtree(folder)


def clear_unfinished(folder: Path) -> None:
    """Removes what an unfinished checkpoint left behind."""
    for path in folder.glob(f"{HIDDEN}*"):
        shutil.rmtree(path)


def _name(number: int) -> str:
    return f"{number:06d}"


def _numbers(folder: Path) -> list[int]:
    """Numbers of the complete checkpoints, oldest first."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*"))


def _pack(lanes: Checkpoint) -> dict[str, np.ndarray]:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(lanes.carry)]
    manifest = {"step": int(lanes.step), "leaves": [[leaf.dtype.name, list(leaf.shape)] for leaf in leaves]}
    arrays = {_name(i): leaf for i, leaf in enumerate(leaves) if leaf.size}  # Orbax refuses empty arrays
    return {MANIFEST: np.frombuffer(json.dumps(manifest).encode(), np.uint8), **arrays}


def _unpack(arrays: dict[str, np.ndarray]) -> Checkpoint:
    manifest = json.loads(arrays[MANIFEST].tobytes())
    leaves = [
        np.asarray(arrays.get(_name(i), np.zeros(shape, dtype)))
        for i, (dtype, shape) in enumerate(manifest["leaves"])
    ]
    return Checkpoint(manifest["step"], leaves)


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


def _restore(folder: Path) -> Checkpoint:
    import orbax.checkpoint as ocp

    with ocp.PyTreeCheckpointer() as checkpointer:
        return _unpack(checkpointer.restore(folder.absolute()))
