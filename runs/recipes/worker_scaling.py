"""How well workers are kept busy: chunks that sleep for the seconds that real ones took, on 1 to 8 plain processes.

    python -m runs.recipes.worker_scaling --out runs/results/worker_scaling

The folder, the claims, the results and the waiting are the real ones; only the training is a sleep, so that two cores
can play eight machines. The seconds are those of the chunks of `lr-batch curve`, two studies' worth of them, the
longest first. Efficiency is the time slept over workers times elapsed time: expect over 0.9 at 8 workers. Then the
ceiling: chunks that take no time at all. Five minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
SLEPT, STUDIES, WORKERS, CEILING = 0.5, 2, (1, 2, 4, 8), 5000


def sleeper(folder: Path) -> None:
    """A worker without JAX: sleeps as long as a chunk's first setting says, and delivers made-up rows."""
    from runs.workers import documents
    from runs.workers.folder import WorkFolder
    from runs.workers.pulse import Pulse

    shared, study = WorkFolder(folder), os.getppid()
    rows = documents.read(folder / "rows.json")
    with Pulse(shared, {}) as pulse:
        while os.getppid() == study:
            for name in shared.waiting():
                said = shared.specification(name)
                if said is not None and shared.take(name, pulse.claim):
                    time.sleep(said["settings"][0]["seconds"])
                    shared.deliver(said["chunk"], pulse.token, {**rows, "chunk": said["chunk"]})
            time.sleep(0.01)


def elapsed(durations: Sequence[float], workers: int) -> float:
    """Seconds until the rows of all chunks are in, from when all workers wait."""
    from lr_batch import Study
    from runs.workers import documents
    from runs.workers.folder import WorkFolder
    from runs.workers.hand_out import FolderHandOut
    from runs.workers.specification import Sources

    with tempfile.TemporaryDirectory() as scratch:
        shared = WorkFolder(Path(scratch))
        tasks = _tasks(durations)
        documents.write_surely(shared.path / "rows.json", _rows(tasks[0].chunk))
        call = [sys.executable, "-m", __spec__.name, "--sleeper", "--out", scratch]
        sleeping = [subprocess.Popen(call) for _ in range(workers)]
        try:
            while len(list(shared.workers())) < workers:
                time.sleep(0.01)
            began = time.monotonic()
            handed = FolderHandOut(shared, Sources("digits_mlp", "sgd"))
            count = sum(1 for _ in handed(Study("digits_mlp"), tasks, lambda *_: None, lambda: False))
            assert count == len(durations)
            return time.monotonic() - began
        finally:
            for process in sleeping:
                process.terminate()
                process.wait()


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


def draw(rows: list[dict[str, float]], ceiling: float, path: Path) -> None:
    from runs.plots.style import add_axes, headline, new_figure, save

    figure = new_figure()
    axes = add_axes(figure)
    axes.plot([row["workers"] for row in rows], [row["efficiency"] for row in rows], "o-")
    axes.axhline(0.9, color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xlabel="workers", ylabel="time slept / (workers x elapsed)", ylim=(0, 1.05))
    headline(
        figure,
        "How busy workers are kept",
        f"the study itself takes in {ceiling:.0f} chunks a second at most",
    )
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--ceiling", type=int, default=CEILING, help="chunks that take no time")
    parser.add_argument("--sleeper", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sleeper:
        return sleeper(given.out)
    given.out.mkdir(parents=True, exist_ok=True)
    durations = [SLEPT * seconds for size in MEASURED for seconds in size] * STUDIES
    rows = []
    for workers in given.workers:
        seconds = elapsed(durations, workers)
        rows.append(
            {"workers": workers, "seconds": seconds, "efficiency": sum(durations) / workers / seconds}
        )
        print(f"{workers} workers: {seconds:.1f} s, efficiency {rows[-1]['efficiency']:.3f}", flush=True)
    ceiling = given.ceiling / elapsed([0.0] * given.ceiling, 4)
    print(f"at most {ceiling:.0f} chunks a second, over {given.ceiling} chunks")
    summary = {
        "chunks": len(durations),
        "slept": sum(durations),
        "rows": rows,
        "ceiling_chunks": given.ceiling,
    }
    write_json(given.out / "summary.json", {**summary, "ceiling_per_second": ceiling})
    draw(rows, ceiling, given.out / "efficiency.png")


if __name__ == "__main__":
    main()
