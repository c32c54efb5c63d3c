"""What is in a folder of results and how far its run is; nothing is written and no lock is held."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from runs.folder import kind_of
from runs.status.news import DONE, ELSEWHERE, INTERRUPTED, KILLED, RUNNING, News, read_news, state_of
from runs.store import Store, StoreError
from runs.verify import parts

UNKNOWN = "unknown"  # begun by an older version, or not at all
WORDS = {
    RUNNING: "running",
    DONE: "done",
    INTERRUPTED: "interrupted; everything finished is kept",
    KILLED: "its process is gone without a word; everything finished is kept",
    ELSEWHERE: "running on another machine, where its process cannot be seen from here",
    UNKNOWN: "no run has said anything here",
}


class Status(NamedTuple):
    """Of a folder of results.

    Attributes:
      kind: name of the command, "" where nothing was stored yet.
      command: as it was typed last.
      trials: finished ones by what became of them.
      chunks: number of finished ones.
      parts: of the studies that it is made of.
    """

    folder: Path
    kind: str
    command: str
    trials: dict[str, int]
    chunks: int
    news: News | None
    parts: tuple[Status, ...] = ()

    @property
    def state(self) -> str:
        return state_of(self.news) if self.news else UNKNOWN

    def again(self) -> Status:
        """With what the runs have said since, and nothing else: the stores are left alone."""
        return self._replace(news=read_news(self.folder), parts=tuple(part.again() for part in self.parts))

    @property
    def described(self) -> dict[str, Any]:
        """JSON-like."""
        news = self.news
        return {
            "folder": str(self.folder),
            "kind": self.kind,
            "command": self.command,
            "state": self.state,
            "title": news and news.title,
            "pid": news and news.owner.pid,
            "said_seconds_ago": news and round(max(0.0, time.time() - news.at), 1),
            "share": news and news.share,
            **({"progress": dict(news.numbers)} if news else {}),
            "finished": {"chunks": self.chunks, "trials": self.trials},
            "studies": [part.described for part in self.parts],
        }


def status(folder: Path) -> Status:
    """What is in `folder`, which may be in use or left by a run that was killed.

    Raises:
      StoreError: there is no such folder, or nothing of lr-batch in it.
    """
    news = read_news(folder)
    try:
        known = kind_of(folder)
        with Store(folder, read_only=True) as store:
            trials, chunks = store.tally()
    except StoreError:
        if news is None:
            raise
        return Status(folder, "", "", {}, 0, news)
    if known.kind == "regularize":
        chunks = len(list((folder / "chunks").glob("*.npz")))
    inside = parts(folder, known.study) if known.kind in ("compare", "transfer") else []
    return Status(folder, known.kind, known.command, trials, chunks, news, tuple(map(_part, inside)))


def _part(folder: Path) -> Status:
    """That of a study that may not have begun yet."""
    try:
        return status(folder)
    except StoreError:
        return Status(folder, "", "", {}, 0, None)
