"""Where a chunk runs: on one device, or on a mesh of several."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from lr_batch.engine.workers import worker_devices
from lr_batch.errors import StudyError
from lr_batch.lanes.mesh import lane_spec
from lr_batch.problem.mesh_shape import DATA, LANE, MeshShape, check_devices
from lr_batch.problem.workload import PyTree
from lr_batch.study import Study

Place = jax.Device | Mesh


def places(mesh: MeshShape | None, workers: int | None = None) -> tuple[Place, ...]:
    """Where the workers of a run train their chunks: devices, see `worker_devices`, or as many meshes as there are.

    Raises:
      StudyError: in one line, where the devices of this process cannot be divided into such meshes.
    """
    if mesh is None or mesh.devices == 1:
        return worker_devices(workers)
    check_devices(mesh)
    grids = np.array(jax.devices()).reshape(-1, mesh.lane, mesh.data)
    return tuple(Mesh(grid, (LANE, DATA)) for grid in grids[:workers])


def refuse_mesh(owner: str, study: Study) -> None:
    """Raises ValueError, in one line, for a mesh where chunks run on one device each."""
    if study.mesh is not None and study.mesh.devices > 1:
        raise ValueError(f"{owner}: trains on one device at a time, got the mesh {study.mesh}; leave it out")


def devices_of(place: Place) -> list[jax.Device]:
    """All of them, at least one."""
    return list(place.devices.flat) if isinstance(place, Mesh) else [place]


def kind_of(place: Place) -> str:
    """Of its devices, and how many where it has several.

    >>> kind_of(jax.devices("cpu")[0])
    'cpu'
    """
    devices = devices_of(place)
    return f"{len(devices)} x {devices[0].device_kind}" if len(devices) > 1 else devices[0].device_kind


def refuse_mixture(before: Collection[str], place: Place) -> None:
    """Raises StudyError where stored trials are of other kinds of device alone: the last bits of their numbers differ."""
    here = kind_of(place)
    if before and here not in before:
        raise StudyError(
            f"the stored trials were trained on {' and '.join(sorted(before))}, here is {here}, and a study keeps to one "
            "kind of device: go on there, take another folder, or let workers train it with --allow-mixed"
        )


def within(place: Place) -> AbstractContextManager[Any]:
    """The context in which programs for a place are traced."""
    return jax.set_mesh(place) if isinstance(place, Mesh) else nullcontext()


def everywhere(place: Place) -> Sharding:
    """Whole on every device of a place."""
    return NamedSharding(place, PartitionSpec()) if isinstance(place, Mesh) else SingleDeviceSharding(place)


def of_lanes(place: Place, axes: PyTree, state: PyTree, *, spread: bool) -> PyTree:
    """Where each leaf of the state of all lanes lies.

    Args:
      place: of the chunk.
      axes: where the lane axis of each leaf is, 0 or None.
      state: shapes of the leaves.
      spread: whether each lane is shared out over its devices, along the longest axis of a leaf that can be.
    """
    if not isinstance(place, Mesh):
        return everywhere(place)
    devices = place.shape[DATA] if spread else 1

    def sharding(axis, leaf):
        return NamedSharding(place, lane_spec(axis) if axis is None else spread_spec(leaf.shape, devices))

    return jax.tree.map(sharding, axes, state, is_leaf=lambda axis: axis is None)


def spread_spec(shape: tuple[int, ...], devices: int) -> PartitionSpec:
    """Lanes along the first axis; along the longest other one that can be divided, the devices of a lane.

    >>> spread_spec((8, 30, 64), 4), spread_spec((8, 30), 4), spread_spec((8, 64), 1)
    (P('lane', None, 'data'), P('lane',), P('lane',))
    """
    divided = [axis for axis in range(1, len(shape)) if devices > 1 and shape[axis] % devices == 0]
    if not divided:
        return lane_spec(0)
    longest = max(divided, key=lambda axis: shape[axis])
    return PartitionSpec(LANE, *[None] * (longest - 1), DATA)
