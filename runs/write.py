"""Files that are complete or not there."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes `data` to `path`: after a crash at any moment `path` holds the old bytes or the new ones.

    The bytes go to a temporary name in the same folder, are synced, and the name
    is changed. `OSError` is passed on, of this `path`, which is untouched and nothing left behind.
    """
    path = Path(path)
    _sweep_once(path.parent)
    temporary = temporary_in(path.parent)
    try:
        _write_synced(temporary, data)
        os.replace(temporary, path)
    except OSError as error:  # a full disk names no file, others the temporary one
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        _IN_USE.discard(temporary.name)
    sync_folder(path.parent)


# Names that this process is writing to; those of a process that was killed are removed by the next.
_IN_USE: set[str] = set()
_SWEPT: set[Path] = set()
_TEMPORARY = re.compile(r"\.lr-batch-(\d+)-[0-9a-f]{16}\.tmp|\.[0-9a-f]{16}\.(tmp|probe)|\.salvage-\w+")


def temporary_in(folder: Path) -> Path:
    """A name for a file of this process alone, which tells the next one whose it was."""
    name = f".lr-batch-{os.getpid()}-{secrets.token_hex(8)}.tmp"
    _IN_USE.add(name)
    return folder / name


def sweep(folder: Path, *, unsigned: bool = True) -> None:
    """Removes the temporary files of processes that are no more from `folder`.

    Those that do not say whose they are (`unsigned`) may only go where nobody else can be writing.
    """
    for entry in os.scandir(folder):
        match = _TEMPORARY.fullmatch(entry.name)
        if match and (not _is_in_use(int(match[1]), entry.name) if match[1] else unsigned):
            _remove(Path(entry.path))


def _sweep_once(folder: Path) -> None:
    if folder not in _SWEPT:
        _SWEPT.add(folder)
        with contextlib.suppress(OSError):
            sweep(folder, unsigned=False)


def _is_in_use(pid: int, name: str) -> bool:
    if pid == os.getpid():  # after a restart of the machine or its container, another process's number
        return name in _IN_USE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` to `path` as `json_text`, complete or not at all."""
    write_atomically(path, json_text(value).encode())


def json_text(value: Any) -> str:
    """Strict JSON, indented: NaN and the infinities become null, arrays lists.

    >>> print(json_text({"low": float("nan")}))
    {
     "low": null
    }
    """
    return json.dumps(plain(value), indent=1, allow_nan=False)


def plain(value: Any, digits: int = 17) -> Any:
    """`value` in what JSON has: mappings, lists, text, null, numbers to so many digits (17: all of them)."""
    if isinstance(value, Mapping):
        return {key: plain(entry, digits) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry, digits) for entry in value]
    if hasattr(value, "tolist"):  # an array, or a number of NumPy's or JAX's
        return plain(value.tolist(), digits)
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` survive a power loss: a synced file under a lost name is lost."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Makes all files and names below `folder`, and `folder` itself, survive a power loss."""
    for path in [*folder.rglob("*"), folder]:
        sync_folder(path)  # opening for reading and syncing is the same for a file
