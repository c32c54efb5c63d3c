"""What part of the core-seconds of a trial its evaluations take, by the clock, beside what is counted.

    python -m runs.recipes.evaluation_share --workloads digits_mlp,digits_cnn,pydoc_lm
    python -m runs.recipes.evaluation_share --workloads lm1b_lstm-tiny,imagenet_vgg11-tiny

`lr-batch curve` says "evaluations 18 % of the time", counted by rows and examples, and lays the rows that an evaluation
reads out by that count. Here a step is timed, an evaluation of a few rows and one of all of them, at the smallest and
the largest batch size, in seconds of the processor; what rows between the two take is a line. The share is what
evaluations take up to steps 60, 600 and the budget, and should stay below a quarter. Half a minute for each workload on
an idle machine, most of it compilation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import jax
import numpy as np

from lr_batch import Programs, Study, num_examples
from lr_batch.engine import ROWS, VMAP, Cadence, ChunkPlan, Engine, cadence_at, cadence_of, places, terms_of
from runs.text import table
from runs.write import json_text, write_atomically

STEPS = (60, 600)
ROUNDS = 9  # that are timed
OUT = Path("runs/results/evaluation_share/evaluation_share.json")


class Costs(NamedTuple):
    """Seconds of a step, of an evaluation of `ROWS` held-out rows, and of one of all of them."""

    step: float
    few: float
    all: float

    def evaluations(self, cadence: Cadence, until: int, num_rows: int) -> float:
        """Seconds of those up to a step."""
        rows = np.where(cadence.rows == 0, num_rows, cadence.rows)[cadence.steps <= until]
        few = min(ROWS, num_rows)
        share = (rows - few) / max(num_rows - few, 1)
        return float((self.few + share * (self.all - self.few)).sum())

    def share(self, cadence: Cadence, until: int, num_rows: int) -> float:
        """The evaluations' part of the seconds up to a step."""
        evaluations = self.evaluations(cadence, until, num_rows)
        return evaluations / (evaluations + until * self.step)


def costs(study: Study, plan: ChunkPlan, programs: Programs, batch_size: int) -> Costs:
    """Of one lane where lanes are executed one by one, else of a whole chunk."""
    width = plan.width if plan.execution == VMAP else 1
    engine = programs.engine(study, width, plan.execution, max_evals=len(cadence_of(study)))
    few = min(ROWS, num_examples(study.workload.eval_data))
    timed(study, engine, batch_size, 1, few)  # which compiles
    steps = next(n for n in (4, 16, 64, 256) if n == 256 or timed(study, engine, batch_size, n, few)[1] > 0.1)
    rounds = [timed(study, engine, batch_size, steps, few) for _ in range(ROUNDS)]
    evaluation, both = np.median(rounds, axis=0).tolist()
    whole = np.median([timed(study, engine, batch_size, 1, 0)[0] for _ in range(ROUNDS)])
    return Costs(max(both - evaluation, 0.0) / steps, evaluation, float(whole))


def timed(study: Study, engine: Engine, batch_size: int, steps: int, rows: int) -> list[float]:
    """Seconds of an evaluation of so many rows (0: all), and of so many steps with another one, without those of a call
    that has nothing to do."""
    device, cadence = places(study.mesh)[0], np.array([0, steps], np.int32)
    terms = terms_of(
        study.as_trained(study.settings[: engine.width], batch_size),
        engine.width,
        batch_size=batch_size,
        cadence=cadence,
        reads=np.array([[0, rows]] * 2, np.int32),
        max_evals=engine.max_evals,
    )
    carry = jax.block_until_ready(engine.start(device, terms, 0, np.ones(engine.width, bool), np.inf))
    seconds = []
    for stop in (1, 1, 2):
        began = time.process_time()
        carry = jax.block_until_ready(engine.advance(device, carry, terms, stop))
        seconds.append(time.process_time() - began)
    evaluation, nothing, both = seconds
    return [max(evaluation - nothing, 0.0), max(both - nothing, 0.0)]


def rows_of(study: Study) -> dict[str, Any]:
    """By batch size, the shares up to each of `STEPS` and to the budget."""
    held_out, found = num_examples(study.workload.eval_data), {}
    plan, programs = ChunkPlan.of(study), Programs()
    for size in dict.fromkeys((study.batch_sizes[0], study.batch_sizes[-1])):
        own, cadence, last = costs(study, plan, programs, size), cadence_at(study, size), study.steps_at(size)
        until = {str(steps): own.share(cadence, steps, held_out) for steps in STEPS if steps < last}
        found[str(size)] = {**own._asdict(), "share": {**until, "budget": own.share(cadence, last, held_out)}}
    return found


def show(outcome: dict[str, Any]) -> None:
    from rich import print as say

    untils = (*map(str, STEPS), "budget")
    headings = (
        "workload",
        "batch size",
        "step",
        "64 rows",
        "all rows",
        *(f"share until {u}" for u in untils),
    )
    rows = [
        (
            name,
            size,
            *(f"{1e3 * row[part]:.3g} ms" for part in Costs._fields),
            *(f"{row['share'][until]:.0%}" if until in row["share"] else "" for until in untils),
        )
        for name, sizes in outcome.items()
        for size, row in sizes.items()
    ]
    say(table(headings, rows, left=1))


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m runs.recipes.evaluation_share")
    parser.add_argument("--workloads", type=lambda said: said.split(","), default=["digits_mlp"])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    outcome = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.workloads:
        outcome[name] = rows_of(Study(name))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out, json_text(outcome).encode())
    show(outcome)
    return outcome


if __name__ == "__main__":
    main()
