"""Whether a trial costs the same in a large study as in a small one, compiled.

    python -m runs.bench.flat_cost --out FILE

64, 256, 1,024 and 4,096 trials of the digits network: 16 rates at batch size 32 with 4 to 256 seeds, since a
study of other batch sizes would be made of other trials. About three minutes.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import tyro

from runs.bench.child import run_child, sweep_environment
from runs.bench.compare import request
from runs.bench.work import Work
from runs.write import write_json

SETTINGS = Work(batch_sizes="32", learning_rates="0.02:2:16")
SEEDS = (4, 16, 64, 256)


@dataclasses.dataclass(frozen=True)
class Options:
    """Whether a trial costs the same in a large study as in a small one."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    repeats: int = 3
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def main(options: Options) -> int:
    """Prints and writes seconds per trial at each size."""
    work = SETTINGS.quick() if options.quick else SETTINGS
    rows = []
    for seeds in SEEDS[: 1 if options.quick else None]:
        rows.append(cost(dataclasses.replace(work, seeds=seeds), options.repeats))
        print(json.dumps(rows[-1]), flush=True)
    write_json(options.out, rows)
    return 0


def cost(work: Work, repeats: int) -> dict[str, Any]:
    """Medians over `repeats` warm runs in one process."""
    with tempfile.TemporaryDirectory(prefix="lr-batch-bench-") as cache:
        asked = request(work, mode="whole", repeats=repeats)
        messages = run_child("runs.bench.engine", asked, sweep_environment(cache), 3_600.0)
    warm = [message.body["warm"] for message in messages if "warm" in message.body]
    trials = work.study().num_trials
    return {
        "trials": trials,
        "seconds": statistics.median(warm),
        "milliseconds_per_trial": 1e3 * statistics.median(warm) / trials,
        "range": [1e3 * min(warm) / trials, 1e3 * max(warm) / trials],
    }


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m runs.bench.flat_cost")))
