"""Workload and optimizer as another machine finds them: by registered name, or by file with its hash."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runs import load
from runs.workers.errors import Unfit


def described(what: str, text: str) -> dict[str, str]:
    """What was typed, such as "digits_mlp", "FILE.py:NAME" or "PACKAGE.MODULE:NAME", and the hash of the file.

    Args:
      what: begins the message of an error.
      text: as `runs.load.named_or_loaded` takes it.
    """
    place, _, name = text.rpartition(":")
    if not place:
        return {"name": text}
    if not place.endswith(".py"):
        load.named_or_loaded(what, text)  # refuses what is not there, in one line
        return {"name": text, "hash": _hash(_module_file(place))}
    path = Path(place).absolute()
    return {"name": f"{path}:{name}", "hash": _hash(path)}


def found(what: str, source: Mapping[str, Any]) -> Any:
    """The name, or the object, that a description stands for on this machine.

    Raises:
      Unfit: the file is not here, or is another.
    """
    text = str(source["name"])
    place = text.rpartition(":")[0]
    if place:
        path = Path(place) if place.endswith(".py") else _module_file(place)
        if path is None or not path.is_file():
            raise Unfit(f"{what}: {place} is not on this machine; put it where every worker sees it")
        if _hash(path) != source.get("hash"):
            raise Unfit(f"{what}: {place} is not the file that the study was begun with")
    return load.named_or_loaded(what, text)


def _hash(path: Path | None) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""


def _module_file(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin else None
