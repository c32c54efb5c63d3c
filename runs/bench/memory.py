"""The memory of a chunk: as estimated before a run, and as the compiler plans it."""

from __future__ import annotations

from typing import Any

import jax

from lr_batch import Study
from lr_batch.engine import Engine, cadence_of, chunk_memory


def memory(study: Study, width: int, execution: str) -> dict[str, Any]:
    """Bytes of one chunk of `width` lanes at the largest batch size; shared data are counted apart."""
    need = chunk_memory(study)
    engine = Engine.of(study, width, execution, max_evals=len(cadence_of(study)))
    return {
        "width": width,
        **need._asdict(),
        "lane_bytes": need.lane(width, execution),
        "estimated_bytes": need.chunk(width, execution),
        "planned_bytes": engine.planned_bytes(jax.local_devices()[0]),
        "data_bytes": need.data,
    }
