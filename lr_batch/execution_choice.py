"""Chooses how lanes are executed, by measuring where it is in doubt."""

from __future__ import annotations

import dataclasses
import re

import jax
import numpy as np

from lr_batch.engine import Engine
from lr_batch.lane_execution import AUTO, BLOCKS, MAP, VMAP, faster
from lr_batch.memory import chunk_memory
from lr_batch.program import Terms
from lr_batch.study import Study

STEPS = 4  # of each program that is timed
# Activations of all lanes before these are executed in blocks on a CPU, about the size of its last cache.
# Above it digits_cnn (19 MB) ran 1.2 to 1.8 times as fast in blocks, below it digits_mlp (1.3 MB) 0.9 times.
BATCHED_BYTES = 16e6


def choose_execution(study: Study, width: int) -> str:
    """The study's `lanes`, or where that is "auto" what is best for its workload.

    In doubt are only convolutions that become grouped ones when lanes are batched. Their programs are timed for
    a few steps at the study's middle batch size, on the device that the study will run on. Elsewhere lanes
    are batched, on a CPU in blocks where all together would leave its caches.

    Args:
      study: what is to be measured.
      width: lanes of a chunk.
    """
    if study.lanes != AUTO:
        return study.lanes
    if _has_grouped_convolutions(study):
        return _measured(study, width)
    large = width * _activations(study) > BATCHED_BYTES
    return BLOCKS if large and jax.default_backend() == "cpu" else VMAP


def _activations(study: Study) -> int:
    """Bytes of a lane's activations: what a step works with beside two gradients, the sum and the next."""
    need = chunk_memory(study)
    return need.step - 2 * need.params


def _has_grouped_convolutions(study: Study) -> bool:
    """Whether any convolution becomes one when two lanes are batched."""
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    params = jax.eval_shape(jax.vmap(study.workload.init), keys)
    rows = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype), study.workload.eval_data)
    lanes = jax.make_jaxpr(jax.vmap(study.workload.evaluate, in_axes=(0, None)))(params, rows)
    return re.search(r"\b(feature|batch)_group_count=(?!1\b)", str(lanes)) is not None


def _measured(study: Study, width: int) -> str:
    device = jax.local_devices()[0]
    batch_size = study.batch_sizes[len(study.batch_sizes) // 2]
    middle, setting = dataclasses.replace(study, batch_sizes=(batch_size,)), study.settings[0]
    terms = Terms(
        hparams={name: np.full(width, value, np.float32) for name, value in setting.items()},
        batch_size=np.int32(batch_size),
        cadence=np.array([0, STEPS], np.int32),
        num_evals=np.int32(2),
        threshold=np.float32(-np.inf),
        slack=np.float32(np.inf),
    )

    def program(execution: str):
        engine = Engine.of(middle, width, execution, max_evals=2)
        start = lambda: engine.start(device, terms, 0, np.ones(width, bool), np.inf)  # noqa: E731
        return lambda: engine.advance(device, start(), terms, 2)

    return faster({execution: program(execution) for execution in (VMAP, MAP)})
