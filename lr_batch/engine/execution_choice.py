"""Chooses how lanes are executed, by measuring where it is in doubt."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lr_batch.engine.memory import chunk_memory
from lr_batch.engine.programs import Engine
from lr_batch.engine.terms import terms_of
from lr_batch.lanes.execution import block_size
from lr_batch.problem.mesh_shape import ALONE
from lr_batch.problem.workload import AUTO, BLOCKS, MAP, VMAP
from lr_batch.study import Study

STEPS = 4  # of each program that is timed
# What a step may work with on a CPU before its lanes are executed apart, about the size of its last cache. digits_mlp
# (16 lanes: 3 MB) is fastest batched; digits_cnn (21 MB) ran 1.2 to 1.8 times as fast in blocks; where even a block is
# larger, lanes one by one took 0.8 of the time of blocks (pydoc_lm, 39 MB) and 0.6 to 0.9 (fashion_mnist_fc, 17 MB).
CACHE_BYTES = 16e6


def choose_execution(study: Study, width: int) -> str:
    """The study's `lanes`, or where that is "auto" what is best for its workload.

    In doubt are only convolutions that become grouped ones when lanes are batched. Their programs are timed for
    a few steps at the study's middle batch size, on the device that the study will run on. Elsewhere lanes
    are batched; on a CPU as many of them as its caches hold.

    Args:
      study: what is to be measured.
      width: lanes of a chunk.
    """
    width = max(1, width // (study.mesh or ALONE).lane)  # of a row of devices
    if study.lanes != AUTO:
        return study.lanes
    # Nothing to be batched; and what is spread may be too large to be timed here
    if study.mesh and width == 1:
        return VMAP
    if _has_grouped_convolutions(study):
        return _measured(study, width)
    if jax.default_backend() != "cpu":
        return VMAP
    need = chunk_memory(study)
    lane_bytes = need.params + need.step
    cached = (way for way in (VMAP, BLOCKS) if block_size(width, way) * lane_bytes <= CACHE_BYTES)
    return next(cached, MAP)


def _has_grouped_convolutions(study: Study) -> bool:
    """Whether any convolution becomes a grouped one when two lanes are batched."""
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    start = jax.eval_shape(jax.vmap(study.workload.before_training), keys)
    rows = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype), study.workload.eval_data
    )
    lanes = jax.make_jaxpr(jax.vmap(study.workload.evaluate, in_axes=(0, None)))(start, rows)
    return re.search(r"\b(feature|batch)_group_count=(?!1\b)", str(lanes)) is not None


def _measured(study: Study, width: int) -> str:
    device = jax.local_devices()[0]
    batch_size = study.batch_sizes[len(study.batch_sizes) // 2]
    middle = dataclasses.replace(study, batch_sizes=(batch_size,), mesh=None)
    settings = study.as_trained(study.settings[:1], batch_size)
    terms = terms_of(
        settings, width, batch_size=middle.batch_table(batch_size), cadence=np.array([0, STEPS], np.int32)
    )

    def program(execution: str):
        engine = Engine.of(middle, width, execution, max_evals=2)
        start = lambda: engine.start(device, terms, 0, np.ones(width, bool), np.inf)
        return lambda: engine.advance(device, start(), terms, 2)

    return faster({execution: program(execution) for execution in (VMAP, MAP)})


def faster(programs: dict[str, Callable[[], Any]], repeats: int = 3) -> str:
    """Name of the program that takes the least time, the best of a few runs each, in turn."""
    for run in programs.values():
        jax.block_until_ready(run())  # compiles
    seconds = {name: np.inf for name in programs}
    for _ in range(repeats):
        for name, run in programs.items():
            began = time.monotonic()
            jax.block_until_ready(run())
            seconds[name] = min(seconds[name], time.monotonic() - began)
    return min(seconds, key=seconds.__getitem__)
