"""Compiles the programs of a study, each once, and holds its data on the devices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from lr_batch.lane import LaneState, OptimizerFactory, make_lane
from lr_batch.lane_execution import VMAP
from lr_batch.program import Carry, Data, Terms, make_advance, make_start, state_axes
from lr_batch.study import Study
from lr_batch.workers import Program
from lr_batch.workload import PyTree, Workload, num_examples

# Micro-batch sizes that programs are compiled for. On a CPU 64 examples fill its vector units and larger ones only
# leave its caches; an accelerator wants as many as there are.
LADDERS = {"cpu": (1, 16, 64)}
ACCELERATOR_LADDER = (1, 16, 256, 4096)
# What a micro-batch costs beside its examples, in examples: lanes read and write all their parameters for it.
MICRO_BATCH_OVERHEAD = 8
EVAL_BLOCK = 512  # held-out examples evaluated at once: bounds the memory of their activations


class Engine:
    """The compiled programs of one workload, optimizer and chunk width.

    Safe to use from several threads: a program is compiled by the thread that first asks for it while the others
    wait.

    Args:
      workload: the problem.
      optimizer: `hparams -> optax.GradientTransformation`.
      metric: the held-out metric that is recorded and compared with the goal.
      hparams: names of the traced hyperparameters.
      width: lanes of a chunk, at least 1.
      max_evals: length of the buffer of evaluations.
      execution: of the lanes, "vmap", "blocks" or "map", see `lr_batch.lane_execution`.
    """

    def __init__(
        self,
        workload: Workload,
        optimizer: OptimizerFactory,
        metric: str,
        *,
        hparams: Sequence[str],
        width: int,
        max_evals: int,
        execution: str = VMAP,
    ):
        self.workload, self.optimizer, self.metric = workload, optimizer, metric
        self.hparams, self.width, self.max_evals = tuple(hparams), width, max_evals
        self.execution = execution
        self.compile_seconds: list[float] = []  # one entry a program
        self._lock = threading.Lock()
        self._lane_axes = _Once()
        self._programs: dict[tuple, _Once] = {}
        self._data: dict[jax.Device, _Once] = {}

    @classmethod
    def of(cls, study: Study, width: int, execution: str, *, max_evals: int) -> Engine:
        """The engine of a study's chunks."""
        return cls(
            study.workload,
            study.lane_optimizer,
            study.goal.metric,
            hparams=study.space,
            width=width,
            max_evals=max_evals,
            execution=execution,
        )

    def prepare(self, device: jax.Device, batch_size: int | None) -> None:
        """Compiles the program of a batch size, or where None the one that starts chunks, ahead of its use."""
        self._program(device, None if batch_size is None else self._micro_batch(batch_size))

    def start(
        self, device: jax.Device, terms: Terms, seed: int, valid: Bool[np.ndarray, " lanes"], first: float
    ) -> Carry:
        """The chunk before its first step; see `make_start`."""
        args = jax.device_put((terms.hparams, np.int32(seed), valid, np.float32(first)), device)
        return self._program(device, None)(*args)

    def advance(self, device: jax.Device, carry: Carry, terms: Terms, stop: int) -> Carry:
        """Trains and evaluates up to evaluation number `stop`, or the end of the race. Uses up `carry`."""
        args = jax.device_put((carry, terms, np.int32(stop)), device)
        return self._program(device, self._micro_batch(int(terms.batch_size)))(*args, self.data(device))

    def planned_bytes(self, device: jax.Device, batch_size: int) -> int:
        """Memory of a chunk at a batch size as the compiler plans it, without the data."""
        plan = self._program(device, self._micro_batch(batch_size)).compiled.memory_analysis()
        held = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
        data = sum(leaf.nbytes for leaf in jax.tree.leaves(self.data(device)))
        return held - plan.alias_size_in_bytes - data

    def data(self, device: jax.Device) -> Data:
        """The workload's arrays on `device`."""

        def put():
            blocks, mask = in_blocks(self.workload.eval_data, EVAL_BLOCK)
            return jax.device_put(Data(self.workload.train_data, blocks, mask), device)

        with self._lock:
            once = self._data.setdefault(device, _Once())
        return once.get(put)

    def _micro_batch(self, batch_size: int) -> int:
        return micro_batch_of(batch_size, self.workload.micro_batch)

    def _program(self, device: jax.Device, micro_batch: int | None) -> Program:
        """The program of a micro-batch size, or the one that starts chunks."""

        def compile_it():
            began = time.monotonic()
            starts = micro_batch is None
            lowered = self._lower_start(device) if starts else self._lower_advance(device, micro_batch)
            program = Program(lowered)
            self.compile_seconds.append(time.monotonic() - began)
            return program

        with self._lock:
            once = self._programs.setdefault((device, micro_batch), _Once())
        return once.get(compile_it)

    def _lower_start(self, device: jax.Device) -> jax.stages.Lowered:
        return jax.jit(self._start()).lower(*_on(device, self._start_shapes()))

    def _lower_advance(self, device: jax.Device, micro_batch: int) -> jax.stages.Lowered:
        lane = make_lane(self.workload, self.optimizer, self.metric, micro_batch)
        advance = jax.jit(make_advance(lane, self._axes(), self.execution), donate_argnums=0)
        carry = jax.eval_shape(self._start(), *self._start_shapes())
        count, number = _shape(jnp.int32), _shape(jnp.float32)
        cadence = _shape(jnp.int32, self.max_evals)
        terms = Terms(self._start_shapes()[0], count, cadence, count, number, number)
        return advance.lower(*_on(device, (carry, terms, count, self.data(device))))

    def _start(self) -> Callable[..., Carry]:
        lane = make_lane(self.workload, self.optimizer, self.metric, micro_batch=1)
        return make_start(lane, self._axes(), num_examples(self.workload.train_data), self.max_evals)

    def _start_shapes(self) -> tuple:
        hparams = dict.fromkeys(self.hparams, _shape(jnp.float32, self.width))
        return hparams, _shape(jnp.int32), _shape(jnp.bool_, self.width), _shape(jnp.float32)

    def _axes(self) -> LaneState:
        """The same for every micro-batch size, so looked for once."""
        lane = make_lane(self.workload, self.optimizer, self.metric, micro_batch=1)
        return self._lane_axes.get(lambda: state_axes(lane, self.hparams, self.workload.train_data))


def _shape(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _on(device: jax.Device, tree: PyTree) -> PyTree:
    """Shapes of what lies on `device`."""
    place = jax.sharding.SingleDeviceSharding(device)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree)


class _Once:
    """A value made by the first thread that asks for it."""

    def __init__(self):
        self._lock, self._made = threading.Lock(), []

    def get(self, make: Callable[[], Any]) -> Any:
        with self._lock:
            if not self._made:
                self._made.append(make())
            return self._made[0]


def micro_batch_of(batch_size: int, largest: int) -> int:
    """The rung of the ladder, at most `largest`, at which a batch costs least.

    A batch takes as many micro-batches as it needs; the last one is filled up with masked examples.

    >>> [micro_batch_of(size, 64) for size in (1, 2, 4, 64, 1000)]
    [1, 1, 16, 64, 64]
    """
    ladder = LADDERS.get(jax.default_backend(), ACCELERATOR_LADDER)
    rungs = [rung for rung in ladder if rung <= largest] or [1]
    return min(rungs, key=lambda rung: -(-batch_size // rung) * (rung + MICRO_BATCH_OVERHEAD))


def in_blocks(data: PyTree, size: int) -> tuple[PyTree, Bool[np.ndarray, "blocks n"]]:
    """Rows as equal blocks `[blocks, n, ...]` of at most `size` rows, the last padded with row 0, and their mask."""
    total = num_examples(data)
    blocks = -(-total // size)
    rows = -(-total // blocks)
    index = np.arange(blocks * rows).reshape(blocks, rows)
    mask = index < total
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.where(mask, index, 0)], data), mask
