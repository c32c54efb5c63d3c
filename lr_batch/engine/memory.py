"""How much memory a chunk takes, estimated before anything is compiled, and how wide it may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lr_batch.data.read_ahead import AHEAD
from lr_batch.engine.cadence import cadence_of
from lr_batch.engine.live_bytes import live_bytes
from lr_batch.engine.lying import Held
from lr_batch.engine.memo import once_per_program
from lr_batch.engine.memory_limit import memory_limit
from lr_batch.engine.windows import window_rows, window_shapes
from lr_batch.engine.workers import worker_devices
from lr_batch.errors import StudyError
from lr_batch.lanes.draw import Window
from lr_batch.lanes.execution import block_size
from lr_batch.lanes.held_out_blocks import EVAL_BLOCK, in_blocks
from lr_batch.lanes.lane import Draw, make_lane
from lr_batch.lanes.micro_batch import micro_batches_of
from lr_batch.problem.mesh_shape import ALONE, MeshShape
from lr_batch.problem.workload import AUTO, PyTree, num_examples
from lr_batch.study import Study
from optim.memory import num_bytes

MAX_WIDTH = 64  # lanes; a wider chunk makes no better use of a machine
# Of all memory and not of what is free: a study that goes on should find the width that it began with.
SHARE = 0.5


WINDOWS = AHEAD + 2  # of a stream: the one in use, one on its way, and those that are read ahead


class ChunkMemory(NamedTuple):
    """Bytes that a lane has to itself, and bytes that the lanes of a chunk share.

    Attributes:
      params: parameters alone.
      kept: parameters, optimizer state and the record of evaluations, between two steps.
      step: beside them at the worst moment of a step: gradient, activations of one micro-batch, what the
        optimizer computes with.
      evaluation: the same of an evaluation: activations of one block of held-out examples.
      moments: those of a step and of an evaluation at which one lane holds most, and at which many do, together with what
        they share then: what is computed from examples alone.
      shared: the order of examples.
      data: training and held-out examples, which the chunks of a device share; windows of them where they are streamed.
      rows: of devices that share out the lanes; all bytes are those of one device.
    """

    params: int
    kept: int
    step: int
    evaluation: int
    moments: tuple[Held, ...]
    shared: int
    data: int
    rows: int = 1

    def lane(self, width: int, execution: str) -> float:
        """Bytes of each of `width` lanes; a block of them works on a copy."""
        width //= self.rows
        together = self._together(width, execution)
        return (
            self.kept + (self._copied(width, together) + max(self.step, self.evaluation) * together) / width
        )

    def chunk(self, width: int, execution: str) -> int:
        """Bytes of a chunk without the data."""
        width //= self.rows
        together = self._together(width, execution)
        most = max(moment.of(together) for moment in self.moments)
        return self.shared + width * self.kept + self._copied(width, together) + most

    def _copied(self, width: int, together: int) -> int:
        return 0 if together == width else together * self.kept

    @staticmethod
    def _together(width: int, execution: str) -> int:
        return width if execution == AUTO else block_size(width, execution)


@once_per_program("trained_batch_sizes", "budget", "evaluation_growth", "streamed", "mesh")
def chunk_memory(study: Study) -> ChunkMemory:
    """Of a chunk at the study's largest micro-batch. Nothing is compiled."""
    workload, mesh = study.workload, study.mesh or ALONE
    group = workload.group * mesh.data
    largest = micro_batches_of(study.trained_batch_sizes, workload.micro_batch, group)[-1]
    share = largest._replace(examples=largest.examples // mesh.data)  # of each device
    lane = make_lane(workload, study.lane_optimizer, study.goal.metric, [share])
    one, hparams = jnp.int32(1), dict.fromkeys(study.space, jnp.float32(0))
    state = jax.eval_shape(lane.init, hparams, one, jnp.bool_(True))
    train, held_out = _shapes(workload.train_data), _shapes(in_blocks(workload.eval_data, EVAL_BLOCK))
    block = jax.tree.map(lambda leaf: _share_of_rows(leaf, mesh.data), held_out)
    kept = _size((state, hparams))
    if study.streamed:
        train = window_shapes(workload.train_data, window_rows(workload, study.trained_batch_sizes))
    first = lambda: (
        Window.first(one) if study.streamed else Draw.first(one, num_examples(workload.train_data))
    )
    draw = jax.eval_shape(first)
    step = _working(lane.step, hparams, state, draw, one, train)
    evaluation = _working(lambda hparams, *args: lane.evaluate(*args), hparams, state, *block)
    return ChunkMemory(
        params=_size(state.params),
        kept=kept // (mesh.data if mesh.spread else 1) + 4 * len(cadence_of(study)),
        step=max(moment.own for moment in step),
        evaluation=max(moment.own for moment in evaluation),
        moments=(*step, *evaluation),
        shared=_size(draw),
        data=_size(train) * (WINDOWS if study.streamed else 1) + _size(held_out),
        rows=mesh.lane,
    )


def chunk_width(study: Study, *, useful: int | None = None, budget: float | None = None) -> int:
    """Lanes of a chunk: the whole grid where it is small, fewer where memory binds.

    Args:
      study: what is to be measured.
      useful: lanes that there are trials for; None for all settings of the study.
      budget: bytes that a chunk and the data may take; None for the share of a worker of `lr_batch.run`.

    Raises:
      StudyError: not even one lane fits into all the memory that a worker on this machine has.
    """
    need = chunk_memory(study)
    rows = need.rows
    useful = min(rows * MAX_WIDTH, len(study.settings)) if useful is None else useful
    if budget is None:
        _refuse_too_large(study, need)
        budget = memory_budget(study.mesh)
    widths = range(-(-useful // rows) * rows, rows, -rows)  # each row of devices has as many lanes
    return next((width for width in widths if need.chunk(width, study.lanes) + need.data <= budget), rows)


def fits_at_all(study: Study) -> bool:
    """Whether one lane for each row of devices, with the data, fits into all the memory that a worker has."""
    need, (device, sharing) = chunk_memory(study), sharing_memory(study.mesh)
    whole = _accelerator_bytes(device) or memory_limit().bytes
    return need.chunk(need.rows, study.lanes) + need.data <= whole / sharing


def memory_budget(mesh: MeshShape | None = None) -> float:
    """Bytes for each device of a worker: its share of the memory of an accelerator, or of what this process may use."""
    device, sharing = sharing_memory(mesh)
    whole = _accelerator_bytes(device) or memory_limit().bytes
    return SHARE * whole / sharing


def sharing_memory(mesh: MeshShape | None) -> tuple[jax.Device, int]:
    """The first device, and how many share its memory: workers on one CPU, or the devices that a CPU is cut into."""
    if mesh is None or mesh.devices == 1:
        devices = worker_devices()
        return devices[0], devices.count(devices[0])
    devices = jax.local_devices()
    return devices[0], len(devices) if devices[0].platform == "cpu" else 1


def _accelerator_bytes(device: jax.Device) -> int | None:
    return (device.memory_stats() or {}).get("bytes_limit")


def _refuse_too_large(study: Study, need: ChunkMemory) -> None:
    """An accelerator reports that its memory is full. Elsewhere the kernel ends the process, or the machine swaps."""
    device, workers = sharing_memory(study.mesh)
    if not _accelerator_bytes(device) and not fits_at_all(study):
        limit, lane = memory_limit(), need.chunk(need.rows, study.lanes) + need.data
        raise StudyError(
            f"{study.workload.name} with {study.optimizer_name}: one trial needs about {lane / 1e6:,.0f} MB with "
            f"its data, and {limit.of} leaves {limit.bytes / 1e6:,.0f} MB to {workers} trials at a time; "
            "take a smaller network or micro_batch, or give more memory"
        )


def _working(function: Callable, hparams: PyTree, state: PyTree, *shared: PyTree) -> tuple[Held, Held]:
    """What one lane, and many, hold with what they share while it runs, each at its worst moment."""
    run = lambda own, shared: function(*own, *shared)
    one, many = (live_bytes(run, (hparams, state), shared, lanes) for lanes in (1, MAX_WIDTH))
    return one, many


def _share_of_rows(leaf: jax.ShapeDtypeStruct, devices: int) -> jax.ShapeDtypeStruct:
    """What one device computes of the rows of a block, where they can be divided."""
    blocks, rows, *rest = leaf.shape
    share = rows if rows % devices else rows // devices
    return jax.ShapeDtypeStruct((blocks, share, *rest), leaf.dtype)


def _shapes(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def _size(tree: PyTree) -> int:
    return sum(num_bytes(leaf) for leaf in jax.tree.leaves(tree))
