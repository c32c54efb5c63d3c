"""Where the engine's time goes at each batch size, and its share of the bound.

python -m runs.bench.breakdown < request.json
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lr_batch.engine import choose_execution, chunk_width, worker_devices
from runs.bench import pieces
from runs.bench.child import serve
from runs.bench.memory import memory
from runs.bench.step_time import StepTimer
from runs.bench.stopwatch import seconds_per_round
from runs.bench.work import Work

PIECES = {
    "gather": pieces.gather,
    "gather_and_gradient": pieces.gather_and_gradient,
    "update": pieces.update,
    "evaluation": pieces.evaluation,
    "evaluation_in_parts": pieces.evaluation_in_parts,
    "batched_products": pieces.batched_products,
    "micro_batch_products": pieces.micro_batch_products,
    "separate_products": pieces.separate_products,
}


def main(request: Mapping[str, Any], emit: Callable[..., None]) -> None:
    study, seconds = Work(**request["work"]).study(), request["seconds"]
    width = chunk_width(study)
    execution = choose_execution(study, width)
    chunks, single = StepTimer(study, width, execution), StepTimer(study, 1, execution, workers=1)
    workers = worker_devices()
    emit(
        ready=True,
        width=width,
        execution=execution,
        workers=len(workers),
        device=workers[0].device_kind,
        platform=workers[0].platform,
    )
    for size in study.batch_sizes:
        chunk = pieces.make_timed_chunk(study, size, width, execution)
        found = pieces.gradient_products(chunk)
        whole, alone = chunks.time(size, seconds), single.time(size, seconds)
        parts = {name: seconds_per_round(*piece(chunk), seconds) for name, piece in PIECES.items()}
        emit(
            batch_size=size,
            flops=sum(product.flops * product.count for product in found),
            step=whole.step,
            dispatch=whole.dispatch,
            single_lane_step=alone.step,
            **parts,
        )
    emit(memory=memory(study, width, execution))


if __name__ == "__main__":
    serve(main)
