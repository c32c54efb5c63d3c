"""Chooses over how many devices a chunk is spread, by memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax

from lr_batch.engine.memory import chunk_memory, memory_budget
from lr_batch.problem.mesh_shape import MeshShape, check_division
from lr_batch.study import Study


def with_mesh(study: Study) -> Study:
    """The study with a mesh where it names none and one trial does not fit into a device, of several that there are.

    As few devices as hold a trial share out its batches; where that is not enough, its parameters and optimizer state
    too. The devices that a CPU is cut into have one memory: there a mesh is only what is asked for.
    """
    devices = jax.local_devices()
    if study.mesh is not None or devices[0].platform == "cpu" or len(devices) == 1 or fits(study):
        return study
    chosen = fewest_devices(len(devices), lambda mesh: _fits_over(study, mesh))
    return dataclasses.replace(study, mesh=chosen)


def fewest_devices(devices: int, fits: Callable[[MeshShape], bool]) -> MeshShape | None:
    """The mesh of fewest devices for which `fits`; None where there is none.

    >>> str(fewest_devices(8, lambda mesh: mesh.data * (1 + mesh.spread) >= 4))
    'lane=1,data=2,state=spread'
    """
    counts = [count for count in range(2, devices + 1) if devices % count == 0]
    meshes = (MeshShape(1, count, spread) for count in counts for spread in (False, True))
    return next(filter(fits, meshes), None)


def fits(study: Study) -> bool:
    """Whether one lane for each row of devices, with the data, fits into the memory that a chunk may have."""
    need = chunk_memory(study)
    return need.chunk(need.rows, study.lanes) + need.data <= memory_budget(study.mesh)


def _fits_over(study: Study, mesh: MeshShape) -> bool:
    try:
        check_division(mesh, study.trained_batch_sizes, study.workload.group)
    except ValueError:
        return False
    return fits(dataclasses.replace(study, mesh=mesh))
