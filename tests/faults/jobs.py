"""Which faults are tried: each has a class and a number, of which alone its draw is a function."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from tests.faults import company, corruption
from tests.faults.kills import CHAIN, COMMANDS


class Scale(NamedTuple):
    """How many of each."""

    kills: int
    files: int
    rounds: int
    lines: int
    calls: int


SCALES = {
    "short": Scale(kills=0, files=40, rounds=1, lines=0, calls=0),
    "middle": Scale(kills=40, files=500, rounds=10, lines=0, calls=0),
    "full": Scale(kills=200, files=500, rounds=50, lines=7000, calls=3000),
}


class Job(NamedTuple):
    """One fault; of "kill ..." a chain of `CHAIN` kills of one command, as each goes on where the last one ended."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}"

    @property
    def size(self) -> int:
        return CHAIN if self.kind.startswith("kill ") else 1


def jobs_of(scale: Scale) -> list[Job]:
    """All of a scale, kills first, as they take longest."""
    chains = -(-scale.kills // (CHAIN * len(COMMANDS)))
    return [
        *(Job(f"kill {name}", chain) for chain in range(chains) for name in COMMANDS),
        *(Job(_damaged(number), number) for number in range(scale.files)),
        *(Job(kind, number) for number in range(scale.rounds) for kind in company.KINDS),
        *(Job("line", number) for number in range(scale.lines)),
        *(Job("call", number) for number in range(scale.calls)),
    ]


def _damaged(number: int) -> str:
    """Half of the damage goes to stores."""
    first, *others = corruption.KINDS
    return first if number % 2 else others[number // 2 % len(others)]


def chosen(jobs: Collection[Job], only: Collection[str]) -> list[Job]:
    """Those of a class, such as "kill", "kill tune" or "store", or one, such as "store:17"; all where `only` is empty.

    Raises:
      ValueError: nothing is of that name.
    """
    for name in only:
        if not any(_is_of(job, name) for job in jobs):
            classes = ", ".join(dict.fromkeys(["kill", *(job.kind for job in jobs)]))
            raise ValueError(f"--only {name}: of this scale are {classes}, or one of them, such as store:17")
    return [job for job in jobs if not only or any(_is_of(job, name) for name in only)]


def _is_of(job: Job, name: str) -> bool:
    return name in (job.kind, str(job)) or job.kind.startswith(f"{name} ")


def shard(jobs: list[Job], text: str) -> list[Job]:
    """The jobs of one of several processes side by side: "3/16" is the third of sixteen.

    Raises:
      ValueError: the text is none such.
    """
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ValueError(f"--shard {text}: must look like 3/16, the third of sixteen")
    return jobs[int(part) - 1 :: int(parts)]
