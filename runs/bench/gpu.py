"""Everything that is measured on a machine with a GPU, in one command of under ten minutes.

    python -m runs.bench.gpu --out DIR

1. Correctness: the lanes' numbers, at each precision of products, against float32 on the CPU.
2. Bench: the default curve as in `lr-batch bench`.
3. Panel b: the study of the published Simple CNN on Fashion-MNIST, where that is prepared.
4. Precisions: a step of panel b and its bound at each.

Writes gpu.json, bench.json, bench.png and the study of panel b into DIR. A part that fails, or has no time left, is
reported, and the other parts go on. `--quick` is for machines without a GPU: shows that everything works.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import tyro

from lr_batch import StudyError
from lr_batch.data import DataNotPrepared
from runs.bench import compare
from runs.bench.child import plain_environment, run_child, sweep_environment
from runs.bench.compare import QUICK, Effort, request
from runs.bench.figures import bench as draw
from runs.bench.summary import summary
from runs.bench.table import print_bench
from runs.bench.work import Work
from runs.write import write_json
from runs.xla_flags import set_xla_flags

# Of products of float32 matrices, as JAX calls them
PRECISIONS = ("float32", "TF32_TF32_F32", "BF16_BF16_F32")
CHECKED = Work(batch_sizes="8:512:x8", learning_rates="0.02:1:6", seeds=1, budget=2_000)
TIMED = Work()
PANEL_B = Work("fashion_mnist_simple_cnn", "momentum", "16:4096:x4", "1e-3:0.1:8", seeds=1, budget=10_000)
EFFORT = Effort(
    rounds=1, trials_per_size=2, trial_seconds=0.8, warm_runs=3, unraced_rates=4, part_seconds=0.05
)


Part = Literal["correctness", "bench", "panel_b", "precisions"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclasses.dataclass(frozen=True)
class Options:
    """The parts of a measurement on a GPU."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    seconds: float = 570.0
    """For everything."""
    parts: tuple[Part, ...] = PARTS
    """Those to do, in this order."""
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


class Clock:
    """Seconds that are left of all."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, at_most: float = float("inf")) -> float:
        return max(1.0, min(at_most, self._end - time.monotonic()))


def main(options: Options) -> int:
    """Runs all parts; 0 if none failed."""
    set_xla_flags()
    import jax

    jax.config.update("jax_platforms", "cpu")  # of this process: the children need the GPU's memory
    clock, report = Clock(options.seconds), {}
    options.out.mkdir(parents=True, exist_ok=True)
    parts = {"correctness": correctness, "bench": side_by_side, "panel_b": panel_b, "precisions": precisions}
    for name in options.parts:
        print(f"gpu: {name}, {clock.left():.0f} s left", file=sys.stderr, flush=True)
        report[name] = attempted(lambda part=parts[name]: part(options, clock))
        write_json(options.out / "gpu.json", report)
    print(json.dumps(report, indent=1))
    return int(any("failed" in found for found in report.values()))


def attempted(part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the part returns, or one line on why it failed or was left out."""
    try:
        return part()
    except DataNotPrepared as missing:
        return {"left_out": str(missing)}
    except (StudyError, OSError, subprocess.TimeoutExpired) as error:
        return {"failed": str(error)}


def correctness(options: Options, clock: Clock) -> dict[str, Any]:
    """Each precision's steps to the goal against those of the CPU in float32."""
    ask = request(CHECKED.quick() if options.quick else CHECKED, mode="whole")

    def trials(**environment: str) -> Mapping[str, Any]:
        with tempfile.TemporaryDirectory(prefix="lr-batch-bench-") as cache:
            messages = run_child(
                "runs.bench.engine", ask, sweep_environment(cache) | environment, clock.left(90.0)
            )
        return next(message.body["cold"]["trials"] for message in messages if "cold" in message.body)

    reference = trials(JAX_PLATFORMS="cpu", JAX_DEFAULT_MATMUL_PRECISION="float32")
    return {name: difference(reference, trials(JAX_DEFAULT_MATMUL_PRECISION=name)) for name in tried(options)}


def tried(options: Options) -> tuple[str, ...]:
    return PRECISIONS[:1] if options.quick else PRECISIONS


def difference(reference: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Relative differences of the steps to the goal where both reached it, and how many trials end
    otherwise."""
    a, b = (np.array(trials["steps_to_goal"], np.float64) for trials in (reference, other))
    both = np.isfinite(a) & np.isfinite(b)
    relative = np.abs(a[both] / b[both] - 1)
    return {
        "trials": len(a),
        "reached": int(both.sum()),
        "other_outcome": int((np.isfinite(a) != np.isfinite(b)).sum()),
        "median": float(np.median(relative)) if both.any() else 0.0,
        "largest": float(np.max(relative, initial=0.0)),
    }


def precisions(options: Options, clock: Clock) -> dict[str, Any]:
    """Shares of the bound."""
    work = TIMED.quick() if options.quick else dataclasses.replace(PANEL_B, batch_sizes="256")
    if not options.quick:
        work.study()  # says at once where the data are not prepared
    return {name: share_of_bound(work, options, clock, name) for name in tried(options)}


def share_of_bound(work: Work, options: Options, clock: Clock, precision: str) -> dict[str, Any]:
    asked = request(work, seconds=0.002 if options.quick else 0.1)
    with tempfile.TemporaryDirectory(prefix="lr-batch-bench-") as cache:
        environment = sweep_environment(cache) | {"JAX_DEFAULT_MATMUL_PRECISION": precision}
        messages = run_child("runs.bench.share", asked, environment, clock.left(150.0))
    return {str(message.body["batch_size"]): message.body for message in messages}


def side_by_side(options: Options, clock: Clock) -> dict[str, Any]:
    """`lr-batch bench` with less effort."""
    work, effort = (TIMED.quick(), QUICK) if options.quick else (TIMED, EFFORT)
    peers = ("serial",) if options.quick else compare.SERIAL
    say = lambda what: print(f"gpu: bench: {what}, {clock.left():.0f} s left", file=sys.stderr, flush=True)
    report = summary(work, effort, compare.measure(work, effort._replace(timeout=clock.left()), peers, say))
    write_json(options.out / "bench.json", report)
    draw(report, options.out / "bench.png")
    print_bench(report, sys.stdout)
    return {"written": "bench.json"}


def panel_b(options: Options, clock: Clock) -> dict[str, Any]:
    """The study through the command line, stopped when the time is over: finished chunks are kept and
    counted."""
    if options.quick:
        return {"left_out": "quick"}
    PANEL_B.study()  # says at once where the data are not prepared
    folder = options.out / "panel_b"
    began = time.monotonic()
    code = curve(PANEL_B, folder, clock.left(180.0))
    found = {"seconds": time.monotonic() - began, "exit_code": code}
    path = folder / "summary.json"
    return found | ({"summary": json.loads(path.read_text())} if path.is_file() else {})


def curve(work: Work, folder: Path, seconds: float) -> int:
    """`lr-batch curve`; asked to stop after `seconds`, ended 20 seconds later."""
    options = [
        "--optimizer",
        work.optimizer,
        "--batch-sizes",
        work.batch_sizes,
        "--learning-rates",
        work.learning_rates,
        "--seeds",
        str(work.seeds),
        "--budget",
        str(work.budget),
        "--no-extend",
        "--out",
        str(folder),
    ]
    command = [sys.executable, "-m", "runs", "curve", work.workload, *options]
    with subprocess.Popen(command, stdout=sys.stderr, env=plain_environment()) as child:
        try:
            return child.wait(max(1.0, seconds - 20.0))
        except subprocess.TimeoutExpired:
            child.terminate()
        try:
            return child.wait(20.0)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m runs.bench.gpu")))
