"""Faults of every kind, drawn and counted: a fault of ours is a wrong number, a traceback, a hang, a file left behind.

    python -m tests.faults --scale short                      seconds; part of the test suite
    python -m tests.faults --scale full --out FOLDER          200 kills, 500 damaged files, 10,000 lines and calls: hours
    python -m tests.faults --seed 0 --only store:17           one again, with all that it said

The draw of each is a function of the seed, its kind and its number alone. Kills come at moments of the real clock, so
they repeat their choices and not their outcomes.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from runs.xla_flags import set_xla_flags

set_xla_flags()
sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))

from runs.write import write_json
from tests.faults import company, corruption
from tests.faults.outcomes import FAULTS, Outcome, judged

# Of each scale: kills, damaged files, rounds of company, drawn lines, drawn calls.
SCALES = {"short": (0, 40, 1, 0, 0), "middle": (40, 500, 10, 0, 0), "full": (200, 500, 50, 7000, 3000)}


def drawn(
    files: int, rounds: int, seed: int, only: tuple[str, int] | None = None
) -> Iterator[tuple[str, Outcome]]:
    """Damaged files and company in turn; `only` one of them."""
    jobs = [
        (kind, corruption.KINDS, number)
        for number in range(files)
        for kind in _turn(corruption.KINDS, number)
    ]
    jobs += [(kind, company.KINDS, number) for number in range(rounds) for kind in company.KINDS]
    for kind, kinds, number in jobs:
        if only and only != (kind, number):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, "study")
            folder.mkdir()
            draw = random.Random(f"{kind} {seed} {number}")
            yield f"{kind}:{number}", judged(lambda: kinds[kind](folder, draw))


def _turn(kinds, number: int) -> list[str]:
    """Half of the damage goes to stores."""
    names = list(kinds)
    return [names[0] if number % 2 else names[1 + number // 2 % (len(names) - 1)]]


def table(found: list[tuple[str, Outcome]]) -> dict[str, dict[str, int]]:
    """Outcomes of each kind, counted."""
    counts: dict[str, Counter] = {}
    for job, outcome in found:
        counts.setdefault(job.partition(":")[0], Counter())[outcome.kind] += 1
    return {kind: dict(counter) for kind, counter in counts.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=SCALES, default="short")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="a job, such as store:17")
    parser.add_argument("--out", type=Path, help="folder for summary.json")
    given = parser.parse_args()
    count, files, rounds, lines, calls = SCALES[given.scale]
    only = None
    if given.only:
        kind, _, number = given.only.rpartition(":")
        only, count, lines, calls = (kind, int(number)), 0, 0, 0
    found = []
    for job, outcome in drawn(files, rounds, given.seed, only):
        found.append((job, outcome))
        _say(job, outcome, shown=bool(only))
    if count:
        from tests.faults.kills import kills

        with tempfile.TemporaryDirectory() as scratch:
            for job, outcome in kills(Path(scratch), count, random.Random(f"kill {given.seed}")):
                found.append((f"kill {job}", outcome))
                _say(f"kill {job}", outcome, shown=True)
    counts = table(found)
    for kind, outcomes in counts.items():
        print(f"{kind}: " + ", ".join(f"{number} {name}" for name, number in sorted(outcomes.items())))
    faults = sum(outcomes.get(name, 0) for outcomes in counts.values() for name in FAULTS)
    print(f"{len(found)} faults tried, {faults} of them faults of ours")
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        write_json(given.out / "summary.json", {"scale": given.scale, "seed": given.seed, "outcomes": counts})
    fuzzed = 0
    if lines or calls:
        call = [sys.executable, "-m", "tests.fuzz", "--lines", str(lines), "--calls", str(calls), "--seed"]
        fuzzed = subprocess.run([*call, str(given.seed)]).returncode
    return 1 if faults or fuzzed else 0


def _say(job: str, outcome: Outcome, *, shown: bool) -> None:
    if shown or outcome.kind in FAULTS:
        print(f"{job}: {outcome.kind} {outcome.said}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
