"""The shared folder: chunks that wait, claims on them, results, and the workers that live.

    chunks/RANK-ID.json   specifications that nobody has finished, the longest chunk first
    claims/ID.json        which worker has a chunk
    results/ID.json       what has become of it, until the study has stored it
    dead/ID.N.json        the Nth time that a worker was lost with a chunk
    lanes/ID/             lanes of a long chunk, so that another worker can go on with them
    ends/SEARCH/ID/       lanes of a finished chunk of a search, of which some may be trained further
    workers/TOKEN.json    a worker; the time of its last change is its heartbeat

Every name is made whole in one step (a rename, or a link that fails where the name is taken), so any number of
processes on any number of machines agree without a lock. ID is the hash of the chunk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from runs.workers import documents
from runs.workers.errors import Damaged, NotAWorkFolder
from runs.workers.layout import CHUNKS, CLAIMS, DEAD, ENDS, LANES, RESULTS, WORKERS, prepare

ENDING = ".json"
NAME = re.compile(r"\d{6,}-([0-9a-f]+)\.json")  # see `name_of`


class WorkFolder:
    """Both sides of the folder, without JAX.

    Args:
      path: made if it is not there.

    Raises:
      NotAWorkFolder: it holds something else, is of a newer version, or anybody may write to it.
    """

    def __init__(self, path: Path):
        self.path = path
        prepare(path)

    # The study's side.

    def issue(self, name: str, specification: Mapping[str, Any]) -> None:
        """Puts a chunk up for the workers, or another specification of it in its place; see `name_of`."""
        documents.write_quickly(self.path / CHUNKS / name, specification)

    def waiting(self) -> list[str]:
        """Names of the chunks that nobody has finished, in their order."""
        return sorted(_names(self.path / CHUNKS))

    def withdraw(self, name: str) -> None:
        """Takes a chunk back that nobody has begun."""
        if not self._claim(id_of(name)).exists():
            _remove(self.path / CHUNKS / name)

    def delivered(self) -> list[str]:
        """Chunks with a result."""
        return [name.removesuffix(ENDING) for name in _names(self.path / RESULTS)]

    def result(self, chunk: str) -> dict[str, Any]:
        """What a worker has delivered.

        Raises:
          Damaged: the file is not what was written.
        """
        found = documents.read(self._result(chunk))
        if found.get("chunk") != chunk:
            raise Damaged(f"{self._result(chunk)}: of another chunk")
        return found

    def forget(self, chunk: str, name: str) -> None:
        """Removes all of a chunk whose rows are stored, its specification first: see `take`."""
        _remove(self.path / CHUNKS / name)
        self.discard_result(chunk)
        _remove(self._claim(chunk))
        self.forgive({chunk})
        self.discard_lanes(chunk)

    def discard_result(self, chunk: str) -> None:
        _remove(self._result(chunk))

    def claims(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Chunks that workers have, and their claims."""
        for name in _names(self.path / CLAIMS):
            with contextlib.suppress(FileNotFoundError):
                try:
                    yield name.removesuffix(ENDING), documents.read(self.path / CLAIMS / name)
                except Damaged:
                    yield name.removesuffix(ENDING), {"worker": ""}  # nobody's: handed out again

    def bury(self, chunk: str) -> bool:
        """Ends the claim of a worker that died; False where it was given back at the last moment."""
        try:
            os.unlink(self._claim(chunk))
        except FileNotFoundError:
            return False
        return True

    def count_death(self, chunk: str) -> int:
        """Notes that a worker was lost with a chunk, and returns how many were; the note outlives the study."""
        deaths = 1 + sum(name.startswith(f"{chunk}.") for name in _names(self.path / DEAD))
        documents.write_quickly(self.path / DEAD / f"{chunk}.{deaths}{ENDING}", {"chunk": chunk})
        return deaths

    def forgive(self, chunks: Collection[str]) -> None:
        """Forgets who died with the chunks: they may be tried as often again."""
        for name in _names(self.path / DEAD):
            if name.partition(".")[0] in chunks:
                _remove(self.path / DEAD / name)

    def unfinished(self) -> set[Path]:
        """Files that somebody is writing at the moment, or was when it was killed."""
        return {path for place in ("", "*/") for path in self.path.glob(f"{place}.*{documents.UNFINISHED}")}

    # The worker's side.

    def specification(self, name: str) -> dict[str, Any] | None:
        """The chunk of a name of `waiting`; None where it is finished, or its file is not whole.

        Such a file is removed, which its study notices and puts the chunk up again: otherwise all would wait for ever.
        """
        path = self.path / CHUNKS / name
        try:
            said = documents.read(path)
            if said.get("chunk") == id_of(name):
                return said
        except FileNotFoundError:
            return None
        except Damaged:
            pass
        if NAME.fullmatch(name):  # what somebody else has laid there stays
            _remove(path)
        return None

    def take(self, name: str, claim: Mapping[str, Any]) -> bool:
        """Claims a chunk. False where another worker has it, or it was finished since `waiting` named it.

        A study removes the specification of a finished chunk before its result. So a chunk without a result whose
        specification is still there after that was seen, in this order, is not finished.
        """
        chunk = id_of(name)
        if not self._link(claim, self._claim(chunk)):
            return False
        if self._result(chunk).exists() or not (self.path / CHUNKS / name).exists():
            self.give_back(chunk, claim["worker"])
            return False
        return True

    def is_asked(self, chunk: str) -> bool:
        """Whether a study still wants the rows of a chunk, or wanted them when it ended."""
        return any(id_of(name) == chunk for name in _names(self.path / CHUNKS))

    def holds(self, chunk: str, worker: str) -> bool:
        """Whether a claim is still this worker's: it may have been taken for dead."""
        try:
            return documents.read(self._claim(chunk)).get("worker") == worker
        except (FileNotFoundError, Damaged):
            return False

    def give_back(self, chunk: str, worker: str) -> None:
        """Ends this worker's claim."""
        if self.holds(chunk, worker):
            _remove(self._claim(chunk))

    def deliver(self, chunk: str, worker: str, result: Mapping[str, Any]) -> None:
        """Writes a result, which then survives anything, and ends the claim.

        Nothing stays of a chunk that nobody asks for any more: another worker has finished it meanwhile. A study removes
        the specification before the result, so one of both sees what the other has done.
        """
        documents.write_surely(self._result(chunk), result)
        if not self.is_asked(chunk):
            self.discard_result(chunk)
            self.discard_lanes(chunk)
        self.give_back(chunk, worker)

    def lanes(self, chunk: str) -> Path:
        return self.path / LANES / chunk

    def discard_lanes(self, chunk: str) -> None:
        """Both sides do it when a chunk is finished, at the same time perhaps."""
        shutil.rmtree(self.lanes(chunk), ignore_errors=True)

    def ends(self, search: str, chunk: str) -> Path:
        return self.path / ENDS / search / chunk

    def discard_ends(self, search: str) -> None:
        """Once no chunk of a search is handed out any more."""
        shutil.rmtree(self.path / ENDS / search, ignore_errors=True)

    # Who lives.

    def worker_file(self, worker: str) -> Path:
        return self.path / WORKERS / f"{worker}{ENDING}"

    def workers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Workers that have said what they are, dead ones too."""
        for name in _names(self.path / WORKERS):
            with contextlib.suppress(FileNotFoundError, Damaged):
                yield name.removesuffix(ENDING), documents.read(self.path / WORKERS / name)

    def _claim(self, chunk: str) -> Path:
        return self.path / CLAIMS / f"{chunk}{ENDING}"

    def _result(self, chunk: str) -> Path:
        return self.path / RESULTS / f"{chunk}{ENDING}"

    def _link(self, document: Mapping[str, Any], path: Path) -> bool:
        """Makes `path` with the document in it, in one step; False where there is one."""
        temporary = documents.write_temporary(path.parent, document)
        try:
            os.link(temporary, path)
            return True
        except FileExistsError:
            return temporary.stat().st_nlink == 2  # NFS may make the link, lose its answer and ask again
        except FileNotFoundError:  # removed by a study, see `documents`
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            raise NotAWorkFolder(
                f"{self.path}: its file system has no hard links, by which workers agree; name another folder"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def name_of(rank: int, chunk: str) -> str:
    """The name of a chunk's specification, by which the workers take those of lower rank first.

    >>> name_of(12, "0123456789abcdef")
    '000012-0123456789abcdef.json'
    """
    return f"{rank:06d}-{chunk}{ENDING}"


def id_of(name: str) -> str:
    """The chunk of a name of `WorkFolder.waiting`.

    >>> id_of("000012-0123456789abcdef.json")
    '0123456789abcdef'
    """
    return name.removesuffix(ENDING).rpartition("-")[2]


def _names(folder: Path) -> list[str]:
    """Files that are whole: those still being written begin with a dot."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.name.endswith(ENDING) and entry.name[0] != "."]


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
