"""What is kept between runs in the user's cache folder: compiled programs, and how lanes are executed best.

A cache that cannot be used costs time, never a run: it is left alone with a warning.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from runs.program_cache import CheckedEntries
from runs.write import write_json

OTHERS_MAY_WRITE = 0o022


def cache_folder() -> Path:
    """`lr-batch` below XDG_CACHE_HOME, or below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lr-batch"


def use_compilation_cache() -> None:
    """Lets JAX keep compiled programs there, unless the user has chosen another place, which is theirs to guard."""
    import jax

    folder = cache_folder() / "programs"
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") or not _usable(folder):
        return
    try:
        atexit.register(CheckedEntries(folder).sign)
    except OSError as error:
        _warn(folder, error)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_raise_persistent_cache_errors", False)


def remembered(key: str, measure: Callable[[], str]) -> str:
    """The choice kept under `key`, or what `measure()` returns, kept for the next time."""
    path = cache_folder() / "lanes.json"
    usable = _usable(path.parent)
    choices = _read(path) if usable else {}
    if key not in choices:
        choices[key] = measure()
        if usable:
            _keep(path, choices)
    return choices[key]


def _keep(path: Path, choices: Mapping[str, str]) -> None:
    try:
        write_json(path, choices)
    except OSError as error:
        _warn(path, error)


def _read(path: Path) -> dict[str, str]:
    try:
        choices = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        _warn(path, error)
        return {}
    known = ("vmap", "blocks", "map")
    kept = choices.items() if isinstance(choices, dict) else ()
    return {key: value for key, value in kept if value in known}


def _usable(folder: Path) -> bool:
    """Whether the folder is there, and nobody else can put anything into it: what it holds is run."""
    try:
        cache_folder().parent.mkdir(parents=True, exist_ok=True)
        for path in (cache_folder(), folder):
            path.mkdir(exist_ok=True, mode=0o700)
            _require_own(path)
    except OSError as error:
        _warn(folder, error)
        return False
    return os.access(folder, os.W_OK)


def _require_own(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user")
    if status.st_mode & OTHERS_MAY_WRITE:
        raise PermissionError(f"others may write to {folder}; chmod go-w it")


def _warn(path: Path, error: Exception) -> None:
    """Once for each place."""
    if path not in _WARNED:
        _WARNED.add(path)
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        print(f"lr-batch: the cache {path} is left alone: {said}", file=sys.stderr)


_WARNED: set[Path] = set()
