"""A step of the engine and its bound at each batch size: of `runs.bench.breakdown` what is compared between precisions.

python -m runs.bench.share < request.json
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lr_batch.engine import choose_execution, chunk_width
from runs.bench import pieces
from runs.bench.child import serve
from runs.bench.step_time import StepTimer
from runs.bench.stopwatch import seconds_per_round
from runs.bench.work import Work


def main(request: Mapping[str, Any], emit: Callable[..., None]) -> None:
    study, seconds = Work(**request["work"]).study(), request["seconds"]
    width = chunk_width(study)
    execution = choose_execution(study, width)
    chunks = StepTimer(study, width, execution)
    for size in study.batch_sizes:
        chunk = pieces.make_timed_chunk(study, size, width, execution)
        bound = seconds_per_round(*pieces.batched_products(chunk), seconds)
        step = chunks.time(size, seconds).step
        flops = sum(product.flops * product.count for product in pieces.gradient_products(chunk))
        emit(
            batch_size=size,
            width=width,
            execution=execution,
            step=step,
            bound=bound,
            share_of_bound=bound / step,
            bound_tflops=flops / bound / 1e12,
        )


if __name__ == "__main__":
    serve(main)
