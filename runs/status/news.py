"""What a run says of itself in its folder, in a file of its own, so that nobody who watches touches the store."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runs.kept_json import read_object
from runs.process import Owner, host, is_alive, this_process
from runs.write import json_text, temporary_in

NAME = "progress.json"
SECONDS = 1.0  # between two writes
RUNNING, DONE, INTERRUPTED, KILLED, ELSEWHERE = "running", "done", "interrupted", "killed", "elsewhere"


class News(NamedTuple):
    """How far one study is.

    Attributes:
      title: workload and optimizer.
      state: `running`, `done` or `interrupted`, as its process has said; see `state_of`.
      owner: the process.
      at: clock of its machine when it said this, in seconds since 1970.
      lines: for people.
      share: part of the work that is done, from 0 to 1; None where nothing is known.
      numbers: for programs; by name.
    """

    title: str
    state: str
    owner: Owner
    at: float
    lines: tuple[str, ...] = ()
    share: float | None = None
    numbers: Mapping[str, Any] = {}


class Teller:
    """Says how far a run is. A folder that cannot be written to ends the news, never the run."""

    def __init__(self, folder: Path, title: str):
        self._path, self._last = folder / NAME, -SECONDS
        self.news = News(title, RUNNING, this_process(), time.time())

    def say(
        self, lines: Sequence[str], share: float | None = None, numbers: Mapping[str, Any] | None = None
    ) -> None:
        """Keeps what is new, and writes it where a second has passed since the last time."""
        self.news = self.news._replace(lines=tuple(lines), share=share, numbers=numbers or {})
        if time.monotonic() - self._last >= SECONDS:
            self.write(RUNNING)

    def write(self, state: str) -> None:
        self._last, self.news = time.monotonic(), self.news._replace(state=state, at=time.time())
        told = {**self.news._asdict(), "owner": self.news.owner._asdict()}
        with contextlib.suppress(OSError):
            temporary = temporary_in(self._path.parent)
            try:
                temporary.write_text(json_text(told))
                os.replace(temporary, self._path)  # complete or not there; a loss of power may lose it
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


@contextlib.contextmanager
def telling(folder: Path, title: str) -> Generator[Teller, None, None]:
    """A teller of `folder`, which says at the end whether the run came to its end."""
    teller = Teller(folder, title)
    teller.write(RUNNING)
    try:
        yield teller
    except BaseException:
        teller.write(INTERRUPTED)
        raise
    teller.write(DONE)


def read_news(folder: Path) -> News | None:
    """What the last run in `folder` has said; None where that is nothing, or damaged."""
    try:
        told = read_object(folder / NAME)
        return News(
            str(told["title"]),
            str(told["state"]),
            Owner(**told["owner"]),
            float(told["at"]),
            tuple(map(str, told["lines"])),
            told["share"],
            dict(told["numbers"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None


def state_of(news: News) -> str:
    """What has become of a run: as it said, but `killed` where its process is gone without a word.

    On another machine its process cannot be seen: it is `elsewhere`, and what it said last may be old.
    """
    if news.state != RUNNING or is_alive(news.owner):
        return news.state
    return KILLED if news.owner.host == host() else ELSEWHERE
