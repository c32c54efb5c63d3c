"""What is kept between runs in the user's cache folder: compiled programs, and how lanes are executed best.

A cache that cannot be used costs time, never a run: it is left alone with a warning.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from runs.write import write_json


def cache_folder() -> Path:
    """`lr-batch` below XDG_CACHE_HOME, or below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lr-batch"


def use_compilation_cache() -> None:
    """Lets JAX keep compiled programs there, unless the user has chosen another place."""
    import jax

    folder = cache_folder() / "programs"
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") or not _usable(folder):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_raise_persistent_cache_errors", False)


def remembered(key: str, measure: Any) -> str:
    """The choice kept under `key`, or what `measure()` returns, kept for the next time."""
    path = cache_folder() / "lanes.json"
    choices = _read(path)
    if key not in choices:
        choices[key] = measure()
        if _usable(path.parent):
            write_json(path, choices)
    return choices[key]


def _read(path: Path) -> dict[str, str]:
    try:
        choices = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _warn(path, error)
        return {}
    known = ("vmap", "blocks", "map")
    return (
        {key: value for key, value in choices.items() if value in known} if isinstance(choices, dict) else {}
    )


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _warn(folder, error)
        return False
    return os.access(folder, os.W_OK)


def _warn(path: Path, error: Exception) -> None:
    print(f"lr-batch: the cache {path} is left alone: {error}", file=sys.stderr)
