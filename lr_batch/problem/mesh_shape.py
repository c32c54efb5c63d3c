"""Over how many devices one chunk is spread, and along what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from lr_batch.errors import StudyError
from optim.names import counted

LANE, DATA = "lane", "data"  # axes of a mesh
STATE, SPREAD = "state", "spread"


class MeshShape(NamedTuple):
    """A chunk on several devices: `lane` times `data` of them.

    Attributes:
      lane: the lanes are shared out over so many rows of devices, >= 1, which have nothing to tell each other.
      data: the examples of each batch over so many devices, >= 1, which add up gradients and moments of groups.
      spread: whether parameters and optimizer state of a lane, too, are shared out over its `data` devices, for lanes
        that are larger than a device.

    >>> str(MeshShape(4, 2)), str(MeshShape(1, 2, spread=True))
    ('lane=4,data=2', 'lane=1,data=2,state=spread')
    """

    lane: int = 1
    data: int = 1
    spread: bool = False

    @property
    def devices(self) -> int:
        """How many a chunk takes."""
        return self.lane * self.data

    def __str__(self) -> str:
        return f"{LANE}={self.lane},{DATA}={self.data}{f',{STATE}={SPREAD}' if self.spread else ''}"


ALONE = MeshShape()  # a chunk on one device


def read_mesh(value: Any) -> MeshShape | None:
    """A mesh from text such as "lane=4,data=2"; None where it is left to the memory.

    Raises:
      ValueError: in one line, for anything else.
    """
    if value is None:
        return None
    text = str(value)
    pairs = text.replace(" ", "").split(",")
    given = {pair.partition("=")[0]: pair.partition("=")[2] for pair in pairs}
    repeated = len(given) < len(pairs)
    numbers = {axis: given.pop(axis, "1") for axis in (LANE, DATA)}
    counts = [int(number) if re.fullmatch(r"[1-9]\d{0,4}", number) else 0 for number in numbers.values()]
    spread = given.pop(STATE, None)
    if given or repeated or not all(counts) or spread not in (None, SPREAD):
        raise ValueError(
            f"study: mesh must look like {MeshShape(4, 2)}, devices along each axis from 1 on, with "
            f"{STATE}={SPREAD} where a trial is larger than a device, got {text!r}"
        )
    return MeshShape(*counts, spread=spread is not None)


def check_division(mesh: MeshShape | None, batch_sizes: Sequence[int], group: int) -> None:
    """Raises ValueError, in one line, where a batch cannot be shared out evenly, in whole groups of examples."""
    if mesh is None or mesh.data == 1:
        return
    share = mesh.data * group
    if odd := [size for size in batch_sizes if size % share]:
        groups = f" in groups of {group}" if group > 1 else ""
        raise ValueError(
            f"study: {DATA}={mesh.data} of the mesh does not divide batch size {odd[0]}{groups}; take batch sizes that "
            f"are multiples of {share}, or fewer devices along {DATA}"
        )


def check_devices(mesh: MeshShape | None) -> None:
    """Raises StudyError, in one line, where the devices cannot be divided into such meshes. Those of several processes,
    see `jax.distributed`, train one chunk together."""
    devices, processes = jax.devices(), jax.process_count()
    if processes > 1 and (mesh is None or mesh.devices != len(devices)):
        raise StudyError(
            f"{processes} processes train one chunk together: a mesh of all their {len(devices)} devices is needed, such "
            f"as {MeshShape(1, len(devices))}, got {mesh}"
        )
    if mesh is None or len(devices) % mesh.devices == 0:
        return
    on_cpu = devices[0].platform == "cpu"
    hint = (
        f"; XLA_FLAGS=--xla_force_host_platform_device_count={mesh.devices} cuts a CPU into so many"
        if on_cpu
        else ""
    )
    raise StudyError(
        f"mesh {mesh} takes {mesh.devices} devices, and the {counted(len(devices), 'device')} that there "
        f"{'is' if len(devices) == 1 else 'are'} cannot be divided into so many{hint}"
    )
