"""What part of the core-seconds of a trial its evaluations take, by the clock, beside what is counted.

    python -m runs.recipes.evaluation_share --workloads digits_mlp,digits_cnn,pydoc_lm
    python -m runs.recipes.evaluation_share --workloads lm1b_lstm-tiny,imagenet_vgg11-tiny

`lr-batch curve` says "evaluations 18 % of the time", counted by rows and examples, and lays the rows that an
evaluation reads out by that count. Here a step is timed, an evaluation of a few rows and one of all of them, at the
smallest and the largest batch size; rows between the two are taken as a line. What evaluations read up to steps 60,
600 and the budget times what it takes is the share, which should stay below a quarter. Half a minute for each
workload on an idle machine, most of it compilation.
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
from lr_batch.engine import (
    ROWS,
    VMAP,
    Cadence,
    ChunkPlan,
    Engine,
    Place,
    cadence_at,
    cadence_of,
    places,
    terms_of,
)
from runs.curve.chunk_costs import measured
from runs.text import table
from runs.write import json_text, write_atomically

STEPS = (60, 600)
ROUNDS = 5  # of an evaluation of few rows
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


def costs(study: Study, batch_size: int) -> Costs:
    """Of one lane where lanes are executed one by one, else of a whole chunk."""
    plan = ChunkPlan.of(study)
    width = plan.width if plan.execution == VMAP else 1
    engine = Programs().engine(study, width, plan.execution, max_evals=len(cadence_of(study)))
    cost = measured(study, engine, batch_size)
    device = places(study.mesh)[0]
    few = [_few_rows(study, engine, device, batch_size) for _ in range(ROUNDS)]
    return Costs(cost.step, float(np.median(few)), cost.evaluation)


def _few_rows(study: Study, engine: Engine, device: Place, batch_size: int) -> float:
    """Seconds of an evaluation of `ROWS` rows, before the first step."""
    cadence, few = np.arange(2, dtype=np.int32), min(ROWS, num_examples(study.workload.eval_data))
    terms = terms_of(
        study.as_trained(study.settings[: engine.width], batch_size),
        engine.width,
        batch_size=batch_size,
        cadence=cadence,
        reads=np.array([[0, few]] * 2, np.int32),
        max_evals=engine.max_evals,
    )
    carry = engine.start(device, terms, 0, np.ones(engine.width, bool), np.inf)
    jax.block_until_ready(carry)
    began = time.perf_counter()
    jax.block_until_ready(engine.advance(device, carry, terms, 1))
    return time.perf_counter() - began


def rows_of(study: Study) -> dict[str, Any]:
    """By batch size, the shares up to each of `STEPS` and to the budget."""
    held_out, found = num_examples(study.workload.eval_data), {}
    for size in {study.batch_sizes[0], study.batch_sizes[-1]}:
        own, cadence, last = costs(study, size), cadence_at(study, size), study.steps_at(size)
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
