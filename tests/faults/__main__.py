"""Faults of every kind, drawn and counted: a fault of ours is a wrong number, a traceback, a hang, a file left behind.

    python -m tests.faults --scale short                      seconds
    python -m tests.faults --scale full --out FOLDER          200 kills, 500 damaged files, 10,000 lines and calls: hours
    python -m tests.faults --scale full --out FOLDER --shard 3/16     the third of sixteen processes side by side
    python -m tests.faults --scale full --out FOLDER --merge          what they found, in one table
    python -m tests.faults --seed 0 --only store:17           one again, with all that it said

The draw of each is a function of the seed, its class and its number alone, so shards find what one process does. Each
outcome is written as soon as it is known: a command that was ended goes on where it was. Kills come at moments of the
real clock, so they repeat their choices and not their outcomes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from pathlib import Path
from typing import TextIO

from runs.xla_flags import set_xla_flags

set_xla_flags()
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "runs"))

from runs.write import write_json
from tests.faults.drawn import tried
from tests.faults.jobs import SCALES, Job, chosen, jobs_of, shard
from tests.faults.outcomes import FAULTS, Outcome
from tests.faults.table import ENDING, Found, as_markdown, faults_of_ours, record, recorded, table

SHOWN = 20  # jobs, of so few all that they said


def main() -> int:
    given = _arguments()
    if given.out:
        given.out = given.out.resolve()  # drawn command lines change the working folder
        given.out.mkdir(parents=True, exist_ok=True)
    asked = chosen(jobs_of(SCALES[given.scale]), given.only)
    found = recorded(given.out, given.seed) if given.out else {}
    if not given.merge:
        mine = shard(asked, given.shard)
        _try([job for job in mine if job not in found], given, found)
        asked = mine
    found = {job: found[job] for job in asked if job in found}
    return _told(found, asked, given)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", choices=SCALES, default="short")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", action="append", default=[], help="a class, such as kill or store, or one: store:17"
    )
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="the Ith of N processes side by side")
    parser.add_argument("--out", type=Path, help="folder for what became of each, and of the table")
    parser.add_argument("--merge", action="store_true", help="try nothing, tell what is in --out")
    given = parser.parse_args()
    try:
        shard(chosen(jobs_of(SCALES[given.scale]), given.only), given.shard)
    except ValueError as error:
        parser.error(str(error))
    if given.merge and not given.out:
        parser.error("--merge: needs --out, the folder of what was found")
    return given


def _try(jobs: list[Job], given: argparse.Namespace, found: Found) -> None:
    warnings.simplefilter("ignore")
    with contextlib.ExitStack() as stack:
        file: TextIO | None = None
        if given.out:
            name = f"faults-{given.scale}-{given.shard.replace('/', '-of-')}{ENDING}"
            file = stack.enter_context((given.out / name).open("a"))
        for job, outcomes in tried(jobs, given.seed):
            found[job] = outcomes
            _say(job, outcomes, shown=len(jobs) <= SHOWN)
            if file:
                file.write(record(job, outcomes, given.seed))
                file.flush()


def _say(job: Job, outcomes: list[Outcome], *, shown: bool) -> None:
    for outcome in outcomes:
        if shown or outcome.kind in FAULTS:
            print(f"{job}: {outcome.kind} {outcome.said}", flush=True)


def _told(found: Found, asked: list[Job], given: argparse.Namespace) -> int:
    counts = table(found)
    ours, missing = faults_of_ours(counts), sum(job.size for job in asked if job not in found)
    print(as_markdown(counts))
    print(f"{sum(map(len, found.values())):,} faults tried, {ours} of them faults of ours", end="")
    print(f", {missing:,} not tried yet" if missing else "")
    if given.out and given.shard == "1/1":
        summary = {"scale": given.scale, "seed": given.seed, "not_tried": missing, "outcomes": counts}
        write_json(given.out / "summary.json", summary)
    return int(ours > 0 or missing > 0)


if __name__ == "__main__":
    sys.exit(main())
