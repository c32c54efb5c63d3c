"""What lies in a folder of workers, for who only looks: nothing is made, claimed or removed, and JAX is not needed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runs.process import Owner, has_ended
from runs.workers import documents
from runs.workers.errors import Damaged
from runs.workers.layout import CHUNKS, CLAIMS, DEAD, MARKER, RESULTS, WORKERS

WAITING, TRAINING, DONE, FAILED = "waiting", "training", "done", "failed"


class ChunkFound(NamedTuple):
    """A chunk that lies in the folder.

    Attributes:
      study: workload and optimizer; "" where its specification is gone or damaged, as what follows is None then.
      state: `waiting` for a worker, `training`, or `done` or `failed` as long as its study has not taken that in.
      worker: token of the one that has it, "" where nobody has.
      why: of a chunk that failed.
      deaths: workers that were lost with it.
    """

    id: str
    study: str
    batch_size: int | None
    seed: int | None
    trials: int | None
    state: str
    worker: str = ""
    why: str = ""
    deaths: int = 0


class WorkerFound(NamedTuple):
    """A worker that has said what it is and not said good-bye.

    Attributes:
      silent: seconds since its last heartbeat, by the clock of whoever keeps the folder.
      gone: whether its process is known to have ended.
      refuses: why it leaves chunks to others, "" where it does not.
    """

    token: str
    pid: int
    host: str
    since: str
    device: str
    silent: float
    gone: bool
    refuses: str = ""


class Inventory(NamedTuple):
    """All that lies in a folder of workers at one moment, as well as can be told of files that others rename."""

    folder: Path
    chunks: tuple[ChunkFound, ...]
    workers: tuple[WorkerFound, ...]

    def of(self, state: str) -> list[ChunkFound]:
        return [chunk for chunk in self.chunks if chunk.state == state]

    @property
    def described(self) -> dict[str, Any]:
        """JSON-like."""
        return {
            "folder": str(self.folder),
            "kind": "workers",
            "chunks": {state: len(self.of(state)) for state in (WAITING, TRAINING, DONE, FAILED)},
            "workers": [worker._asdict() for worker in self.workers],
            "found": [chunk._asdict() for chunk in self.chunks],
        }


def is_work_folder(folder: Path) -> bool:
    return (folder / MARKER).exists()


def inventory(folder: Path) -> Inventory:
    """What is in a folder for which `is_work_folder` holds; claims are read before results, as a worker delivers."""
    asked = {path.stem.rpartition("-")[2]: path for path in _files(folder / CHUNKS)}
    claims = {path.stem: str(_read(path).get("worker", "")) for path in _files(folder / CLAIMS)}
    results = {path.stem: _read(path) for path in _files(folder / RESULTS)}
    deaths = [path.name.partition(".")[0] for path in _files(folder / DEAD)]
    chunks = (
        _chunk(chunk, _read(asked[chunk]) if chunk in asked else {}, claims.get(chunk), results.get(chunk))
        for chunk in dict.fromkeys((*asked, *results))
    )
    counted = (chunk._replace(deaths=deaths.count(chunk.id)) for chunk in chunks)
    return Inventory(folder, tuple(counted), tuple(_workers(folder / WORKERS)))


def _chunk(
    chunk: str, said: Mapping[str, Any], worker: str | None, result: Mapping[str, Any] | None
) -> ChunkFound:
    identity, settings = said.get("identity", {}), said.get("settings")
    study = f"{identity['workload']} with {identity['optimizer']}" if identity else ""
    state, why = WAITING if worker is None else TRAINING, ""
    if result is not None:
        why = str(result.get("failed") or result.get("died") or "")
        state = FAILED if why else DONE
    trials = None if settings is None else len(settings)
    return ChunkFound(
        chunk, study, said.get("batch_size"), said.get("seed"), trials, state, worker or "", why
    )


def _workers(folder: Path) -> Iterator[WorkerFound]:
    for path in _files(folder):
        said = _read(path)
        with contextlib.suppress(OSError, KeyError, ValueError, TypeError):
            silent = max(0.0, time.time() - path.stat().st_mtime)
            owner = Owner(int(said["pid"]), str(said["started"]), str(said["host"]), str(said["since"]))
            yield WorkerFound(
                path.stem,
                owner.pid,
                owner.host,
                owner.since,
                str(said.get("device", "")),
                round(silent, 1),
                has_ended(owner),
                str(said.get("refuses", "")),
            )


def _files(folder: Path) -> list[Path]:
    """Whole ones, in the order in which chunks are taken; none where the folder is not there yet."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        return sorted(
            Path(entry.path) for entry in entries if entry.name.endswith(".json") and entry.name[0] != "."
        )
    return []


def _read(path: Path) -> dict[str, Any]:
    """What a file says; nothing where it is damaged, or was removed a moment ago."""
    with contextlib.suppress(Damaged, OSError):
        return documents.read(path)
    return {}
