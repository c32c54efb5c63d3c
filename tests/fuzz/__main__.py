"""Drawn command lines and calls of the public API; a fault is a traceback, a hang, or an end that says nothing.

    python -m tests.fuzz --lines 2000 --calls 1000            all of them, counted; exit code 1 where there are faults
    python -m tests.fuzz --lines 2000 --calls 1000 --shard 1/8    every eighth, for one of eight processes
    python -m tests.fuzz --seed 0 --only line:17 --only call:3    these again, with all that they said

The draw of each is a function of the seed and its number alone.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from runs.xla_flags import set_xla_flags

SHOWN = 20  # jobs, of so few all that they said
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def fuzz(
    scratch: Path, jobs: list[tuple[str, int]], seed: int, kinds: tuple[str, ...], *, trained: bool = True
) -> Iterator[tuple[str, str, object]]:
    """(job, what was drawn, outcome) of each.

    Args:
      scratch: an empty folder.
      jobs: ("line" or "call", number) of each.
      kinds: of the folders of results that lines find.
      trained: whether calls may be given what takes training to make.
    """
    from runs.arguments import options
    from runs.commands import COMMANDS
    from tests.fuzz import calls, lines, outcomes
    from tests.fuzz.world import World

    known = {name: [*options(command)] for name, command in COMMANDS.items()}
    world = World(scratch, kinds)
    for kind, number in jobs:
        draw = random.Random(f"{kind} {seed} {number}")
        if kind == "line":
            line = lines.line(draw, known)
            shown = shlex.join(line.words)
            yield f"line:{number}", shown, outcomes.of_line(world, line, draw)
        else:
            call = calls.call(draw, trained=trained)
            yield f"call:{number}", str(call), outcomes.of_call(call)


def numbered(text: str) -> list[tuple[str, int]]:
    """The jobs that "line:17" or "line:500-1999" names."""
    kind, _, numbers = text.partition(":")
    first, _, last = numbers.partition("-")
    return [(kind, number) for number in range(int(first), int(last or first) + 1)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], metavar="line:N or line:N-M")
    parser.add_argument("--shard", default="1/1", metavar="K/N", help="every N-th of them, from the K-th on")
    chosen = parser.parse_args()
    shard, shards = map(int, chosen.shard.split("/"))
    jobs = [
        (kind, n) for kind, count in (("line", chosen.lines), ("call", chosen.calls)) for n in range(count)
    ]
    if chosen.only:
        jobs = [job for text in chosen.only for job in numbered(text)]
    jobs = jobs[shard - 1 :: shards]
    set_xla_flags()
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    faults, since = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lr-batch-fuzz-") as scratch:
        from tests.fuzz.world import KINDS

        kinds = tuple(KINDS) if any(kind == "line" for kind, _ in jobs) else ()
        for job, shown, outcome in fuzz(Path(scratch), jobs, chosen.seed, kinds):
            counts[f"{job.partition(':')[0]}: {outcome.kind}"] += 1
            faults += outcome.fault is not None
            if outcome.fault or len(jobs) < SHOWN:
                print(f"{job}  {shown}\n    {outcome.fault}\n    {outcome.said.strip()[-600:]}", flush=True)
        os.chdir("/")
    for kind, count in sorted(counts.items()):
        print(f"{kind:24} {count:6,}")
    print(f"{faults} faults, {time.monotonic() - since:.0f} s")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
