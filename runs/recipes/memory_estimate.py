"""How well the memory of a chunk is estimated for the published panels: against the compiler's plan of its program.

    python -m runs.recipes.memory_estimate --out runs/results/memory

Each panel at scale tiny, four lanes batched and one after the other, and one lane at its published scale, on noise in the
shape of its data: nothing is trained. About half an hour of one core, nearly all of it the compiler's; expect estimates
within a fifth of the plan, and 5 GB for the compiler. `--panels a --scales tiny` measures some again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()

import jax
import numpy as np

import lr_batch
from lr_batch.engine import Engine, cadence_of, chunk_memory
from lr_batch.workloads import PANELS
from runs.kept_json import read_kept, write_kept

BATCH_SIZE = 64  # with one size of micro-batch there is one program in the program
TINY = "tiny"
LANES = {TINY: 4, "published": 1}


class Case(NamedTuple):
    """A panel at a scale, how its lanes are executed, and how many examples are held out."""

    panel: str
    scale: str
    lanes: str
    held_out: int

    @property
    def name(self) -> str:
        """In the kept file."""
        return f"{self.panel} {self.scale} {self.lanes} {self.held_out}"


def cases(panels: Sequence[str], scales: Sequence[str]) -> Iterator[Case]:
    """Few examples held out, so that the memory of a step counts, and in small as many as are evaluated at once too."""
    for panel in panels:
        for scale in scales:
            for lanes in ("vmap", "map") if scale == TINY else ("map",):
                yield from (Case(panel, scale, lanes, n) for n in ((40, 512) if scale == TINY else (32,)))


def study_of(case: Case) -> lr_batch.Study:
    """On noise in the shape of the panel's data."""
    panel = PANELS[case.panel]
    size = panel.scale(TINY if case.scale == TINY else "")
    rng = np.random.default_rng(0)

    def rows(n: int) -> tuple[Any, Any]:
        if size.dtype == "int32":
            tokens = rng.integers(256, size=(n, *size.inputs), dtype=np.int32)
            return tokens, tokens
        x = rng.random((n, *size.inputs), np.float32)
        if panel.data == "open_images_v4":
            return x, rng.integers(2, size=(n, size.model.classes), dtype=np.int32)
        return x, rng.integers(10, size=n, dtype=np.int32)

    parts = rows(BATCH_SIZE), rows(case.held_out)
    ones = [np.ones(y.shape, np.float32) for _, y in parts]
    workload = lr_batch.from_arrays(
        size.model,
        train=parts[0],
        held_out=parts[1],
        weights=(ones[0], ones[1]) if size.dtype == "int32" else None,
        loss=panel.loss,
        goal=size.goal,
        name=case.panel,
        micro_batch=size.micro_batch,
    )
    return lr_batch.Study(workload, "sgd", batch_sizes=(BATCH_SIZE,), seeds=1)


def estimated(case: Case) -> int:
    """Bytes of a chunk as it is planned with; nothing is compiled."""
    return chunk_memory(study_of(case)).chunk(LANES[case.scale], case.lanes)


def planned(case: Case) -> int:
    """Bytes of a chunk in the compiler's plan."""
    study = study_of(case)
    engine = Engine.of(study, LANES[case.scale], case.lanes, max_evals=len(cadence_of(study)))
    return engine.planned_bytes(jax.local_devices()[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the cases that are asked for, and leaves the others of the file as they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("memory"))
    parser.add_argument("--panels", nargs="+", choices=sorted(PANELS), default=list(PANELS))
    parser.add_argument("--scales", nargs="+", choices=[*LANES], default=[*LANES])
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "summary.json"
    kept = read_kept(file) if file.exists() else {}
    for case in cases(options.panels, options.scales):
        start, plan = time.monotonic(), planned(case)
        kept[case.name] = {"planned": plan, "jaxlib": version("jaxlib")}
        write_kept(file, kept)
        ratio = estimated(case) / plan
        print(
            f"{case.name}: {plan / 1e6:,.2f} MB, estimate {ratio:.2f}, {time.monotonic() - start:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
