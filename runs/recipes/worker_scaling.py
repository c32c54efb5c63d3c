"""How well workers are kept busy: chunks that sleep for the seconds that real ones took, on 1 to 8 workers.

    python -m runs.recipes.worker_scaling --out runs/results/worker_scaling                       plain processes
    python -m runs.recipes.worker_scaling --out runs/results/worker_scaling --ray --ceiling 0     slots of a Ray cluster

Only the training is a sleep, see `runs.recipes.sleepers`. The seconds are those of the chunks of `lr-batch curve`, two
studies' worth of them, the longest first. Efficiency is the time slept over workers times elapsed time: expect over 0.9
at 8 workers. Then the ceiling: chunks that take no time at all. What the study's own process needs for each of them is
told in processor time too, which other work on the machine hardly changes. Five minutes for each kind of worker, and
ten for the ceiling.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runs.recipes import sleepers
from runs.write import write_json

if TYPE_CHECKING:
    from lr_batch.engine import Chunk

# Seconds of the chunks of `lr-batch curve`, by batch size, four seeds each; on 2 cores that had much else to do, so half
# of them is slept.
MEASURED = (
    (2.99, 3.63, 3.09, 4.24),  # 1
    (5.12, 5.17, 6.47, 6.07),  # 2
    (2.36, 2.23, 4.89, 5.18),  # 4
    (0.91, 1.2, 1.77, 1.08),  # 8
    (0.89, 0.78, 1.13, 0.38),  # 16
    (1.47, 1.0, 1.0, 0.48),  # 32
    (0.3, 1.18, 0.91, 0.92),  # 64
    (0.24, 1.05, 1.81, 2.1),  # 128
    (2.14, 1.95, 1.53, 2.25),  # 256
    (2.85, 4.29, 5.72, 3.57),  # 512
    (5.84, 7.45, 6.98, 14.1),  # 1024
)
SLEPT, STUDIES, WORKERS, CEILING = 0.5, 2, (1, 2, 4, 8), 100_000
KINDS = {"rows": "plain processes", "ray_rows": "slots of a Ray cluster"}  # of workers, in the summary


class Taken(NamedTuple):
    """Seconds until the rows of all chunks were in, and those of the processor that the study's own process took."""

    seconds: float
    cpu_seconds: float


def taken(durations: Sequence[float], workers: int, *, ray: bool = False) -> Taken:
    """From when all workers wait."""
    from lr_batch import Study
    from runs.workers import documents
    from runs.workers.folder import WorkFolder
    from runs.workers.hand_out import FolderHandOut
    from runs.workers.specification import Sources

    with tempfile.TemporaryDirectory() as scratch:
        shared = WorkFolder(Path(scratch))
        tasks, study = _tasks(durations), Study("digits_mlp")
        documents.write_surely(shared.path / sleepers.ROWS, _rows(tasks[0].chunk))
        handed = FolderHandOut(shared, Sources("digits_mlp", "sgd"))
        with sleepers.sleeping(shared.path, workers, ray=ray):
            began, cpu_began = time.monotonic(), time.process_time()
            count = sum(1 for _ in handed(study, tasks, lambda *_: None, lambda: False))
            assert count == len(durations)
            return Taken(time.monotonic() - began, time.process_time() - cpu_began)


def _tasks(durations: Sequence[float]):
    from lr_batch.engine import Chunk, Identity, Task

    identity = Identity(
        workload="sleep", data="", optimizer="", program="", goal=("loss", 0.0), budget=1, slack="inf",
        evaluation_growth=None, width=1, lanes="vmap", jax="none",
    )  # fmt: skip
    longest_first = sorted(durations, reverse=True)
    return [
        Task(Chunk(identity, 1, seed, ({"seconds": seconds},)), 1)
        for seed, seconds in enumerate(longest_first)
    ]


def _rows(chunk: Chunk) -> dict[str, Any]:
    import numpy as np

    from lr_batch.engine import ChunkResult
    from runs.workers.outcome import of_rows

    values, steps = np.linspace(2, 0.2, 90, dtype=np.float32)[:, None], np.arange(90)
    rows = ChunkResult(
        np.array([80.0]), np.array([89]), ("reached",), steps, values, 1, "cpu", "float32", 1.0
    )
    return of_rows(chunk, rows)


def efficiencies(workers: Sequence[int], *, ray: bool) -> list[dict[str, float]]:
    durations = [SLEPT * seconds for size in MEASURED for seconds in size] * STUDIES
    rows = []
    for count in workers:
        seconds = taken(durations, count, ray=ray).seconds
        rows.append({"workers": count, "seconds": seconds, "efficiency": sum(durations) / count / seconds})
        kind = "of Ray's slots" if ray else "workers"
        print(f"{count} {kind}: {seconds:.1f} s, efficiency {rows[-1]['efficiency']:.3f}", flush=True)
    return rows


def ceiling(chunks: int) -> dict[str, float]:
    """How many chunks a second a study takes in, if they take no time."""
    took = taken([0.0] * chunks, 4)
    found = {
        "ceiling_chunks": chunks,
        "ceiling_per_second": chunks / took.seconds,
        "ceiling_per_cpu_second": chunks / took.cpu_seconds,
    }
    print("at most {ceiling_per_second:.0f} chunks a second, ".format(**found), end="")
    print("{ceiling_per_cpu_second:.0f} a second of the study's processor".format(**found), flush=True)
    return found


def draw(summary: Mapping[str, Any], path: Path) -> None:
    from runs.plots.style import add_axes, headline, new_figure, save

    figure = new_figure()
    axes = add_axes(figure)
    for key, label in KINDS.items():
        if rows := summary.get(key):
            axes.plot(
                [row["workers"] for row in rows], [row["efficiency"] for row in rows], "o-", label=label
            )
    axes.axhline(0.9, color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xlabel="workers", ylabel="time slept / (workers x elapsed)", ylim=(0, 1.05))
    axes.legend(loc="lower left", frameon=False)
    per_second = summary.get("ceiling_per_second")
    taken_in = f"one study takes in at most {per_second:.0f} chunks a second" if per_second else ""
    headline(figure, "How busy workers are kept", taken_in)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the result; what is there is kept")
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS, help="none: the ceiling alone")
    parser.add_argument(
        "--ray", action="store_true", help="slots of a Ray cluster, instead of plain processes"
    )
    parser.add_argument(
        "--ceiling", type=int, default=CEILING, help="chunks that take no time; 0: not measured"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "summary.json"
    summary = json.loads(path.read_text()) if path.exists() else {}
    if given.workers:
        durations = [SLEPT * seconds for size in MEASURED for seconds in size] * STUDIES
        summary |= {"chunks": len(durations), "slept": sum(durations)}
        summary["ray_rows" if given.ray else "rows"] = efficiencies(given.workers, ray=given.ray)
    if given.ceiling:
        summary |= ceiling(given.ceiling)
    write_json(path, summary)
    draw(summary, given.out / "efficiency.png")


if __name__ == "__main__":
    main()
