"""Compiles the programs of a study, each once, and holds its data on the devices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from lr_batch.data.read_ahead import grain
from lr_batch.engine.cadence import reads_parts
from lr_batch.engine.feed import Feed, StreamedFeed
from lr_batch.engine.memo import program_key
from lr_batch.engine.memory import chunk_memory
from lr_batch.engine.place import Place, devices_of, everywhere, of_lanes, within
from lr_batch.engine.processes import put
from lr_batch.engine.windows import window_rows, window_shapes
from lr_batch.engine.workers import Once, Program
from lr_batch.lanes.batch_statistics import sample_rows
from lr_batch.lanes.held_out_blocks import EVAL_BLOCK, in_blocks, shuffled
from lr_batch.lanes.lane import LaneOptimizer, LaneState, make_lane
from lr_batch.lanes.micro_batch import micro_batches_of
from lr_batch.lanes.race import Carry, Data, Terms, make_advance, make_start, state_axes
from lr_batch.lanes.streamed_race import make_streamed_advance
from lr_batch.problem.column import is_streamed, read_rows
from lr_batch.problem.mesh_shape import ALONE, MeshShape
from lr_batch.problem.statistics import RECOMPUTED
from lr_batch.problem.workload import VMAP, PyTree, Workload, num_examples
from lr_batch.study import Study

START, ADVANCE = "start", "advance"
# Of the program "start" on a CPU, which mostly draws initial parameters: a quarter of the compile time, as fast to run.
# (For the program "advance" the first saves nothing, and without the second its steps are slower.)
QUICKLY_COMPILED = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
# On a GPU: the compiler takes the kernels that it expects to be best; trying them out would take it 2 to 4 seconds.
# The steps of a chunk below so many bytes, which stays in the caches, take as long: launch overhead dominates them.
UNTUNED, UNTUNED_BYTES = {"xla_gpu_autotune_level": 0}, 100e6


class Engine:
    """The compiled programs of one workload, optimizer and chunk width.

    Safe to use from several threads: a program is compiled by the thread that first asks for it while the others
    wait.

    Args:
      workload: the problem.
      optimizer: see `lr_batch.lanes.lane.make_lane`.
      metric: the held-out metric that is recorded and compared with the goal.
      hparams: names of the traced hyperparameters.
      width: lanes of a chunk, at least 1.
      max_evals: length of the buffer of evaluations.
      batch_sizes: those that chunks may have.
      execution: of the lanes, "vmap", "blocks" or "map", see `lr_batch.lanes.execution`.
      tuned: whether the compiler for a GPU tries out kernels.
      phases: rows of the table of a batch size that changes; 0 where none does.
      in_parts: whether evaluations may read a part of the held-out rows; the program is smaller without.
      mesh: of the devices of a chunk; of one device where nothing is said.
    """

    def __init__(
        self,
        workload: Workload,
        optimizer: LaneOptimizer,
        metric: str,
        *,
        hparams: Sequence[str],
        width: int,
        max_evals: int,
        batch_sizes: Sequence[int],
        phases: int = 0,
        execution: str = VMAP,
        tuned: bool = True,
        in_parts: bool = True,
        mesh: MeshShape = ALONE,
    ):
        self.workload, self.optimizer, self.metric = workload, optimizer, metric
        self.hparams, self.width, self.max_evals = tuple(hparams), width, max_evals
        self.mesh, group = mesh, workload.group * mesh.data  # examples of every device, in whole groups
        self.micro_batches = micro_batches_of(batch_sizes, workload.micro_batch, group)
        self.execution, self.tuned, self.in_parts, self.phases = execution, tuned, in_parts, phases
        self.streamed = is_streamed(workload.train_data)
        if self.streamed:
            grain()  # refuses where it is not installed, before anything is compiled
        self.window_rows = window_rows(workload, batch_sizes)
        self.compile_seconds: list[float] = []  # one entry a program
        self._lock = threading.Lock()
        # One program after the other: two at once would delay both compilations
        self._tracing = threading.Lock()
        self._lane_axes, self._shapes = Once(), Once()
        self._programs: dict[tuple, Once] = {}
        self._data: dict[Place, Once] = {}

    @classmethod
    def of(cls, study: Study, width: int, execution: str, *, max_evals: int) -> Engine:
        """The engine of a study's chunks."""
        return cls(
            study.workload,
            study.lane_optimizer,
            study.goal.metric,
            hparams=tuple(study.space),
            width=width,
            max_evals=max_evals,
            batch_sizes=study.trained_batch_sizes,
            phases=study.batch_phases,
            execution=execution,
            tuned=chunk_memory(study).chunk(width, execution) > UNTUNED_BYTES,
            in_parts=reads_parts(study),
            mesh=study.mesh or ALONE,
        )

    def prepare(self, device: Place, name: str) -> None:
        """Compiles the program "start" or "advance" ahead of its use."""
        self._program(device, name)

    def start(
        self, device: Place, terms: Terms, seed: int, valid: Bool[np.ndarray, " lanes"], first: float
    ) -> Carry:
        """The chunk before its first step; see `make_start`."""
        args = (terms.hparams, np.int32(seed), valid, np.float32(first))
        args = put(args, everywhere(device))
        return self._program(device, START)(*args)

    def advance(self, device: Place, carry: Carry, terms: Terms, stop: int) -> Carry:
        """Trains and evaluates up to evaluation number `stop`, or the end of the race. Uses up `carry`."""
        with self.feed(device, carry, terms) as feed:
            return feed.advance(carry, stop)

    def feed(self, device: Place, carry: Carry, terms: Terms) -> Feed:
        """What takes a chunk on from `carry`, several times; a context."""
        return StreamedFeed(self, device, terms, carry) if self.streamed else Feed(self, device, terms)

    def advanced(self, device: Place, *args: Any) -> Carry:
        """What the program "advance" returns."""
        return self._program(device, ADVANCE)(*args)

    def planned_bytes(self, device: Place) -> int:
        """Memory of a chunk on each of its devices as the compiler plans it, without the data."""
        plan: Any = self._program(device, ADVANCE).compiled.memory_analysis()
        held = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
        data = sum(leaf.nbytes for leaf in jax.tree.leaves(self.data(device)))
        return held - plan.alias_size_in_bytes - data

    def data(self, device: Place) -> Data:
        """The workload's arrays on `device`."""

        def made() -> Data:
            blocks, mask = in_blocks(self.workload.eval_data, EVAL_BLOCK)
            order = shuffled(num_examples(self.workload.eval_data))
            train = () if self.streamed else self.workload.train_data
            return put(Data(train, blocks, mask, order, self._sample()), everywhere(device))

        with self._lock:
            once = self._data.setdefault(device, Once())
        return once.get(made)

    def _sample(self) -> PyTree:
        """The rows that batch statistics are recomputed from, where examples are streamed."""
        statistics = self.workload.statistics
        if not (self.streamed and statistics and statistics.mode == RECOMPUTED):
            return ()
        return read_rows(self.workload.train_data, sample_rows(self.workload, statistics).ravel())

    def _program(self, device: Place, name: str) -> Program:
        def compile_it():
            began = time.monotonic()
            with self._tracing, within(device):
                lowered = {START: self._lower_start, ADVANCE: self._lower_advance}[name](device)
            program = Program(lowered, self._compiler_options(devices_of(device)[0].platform, name))
            self.compile_seconds.append(time.monotonic() - began)
            return program

        with self._lock:
            once = self._programs.setdefault((device, name), Once())
        return once.get(compile_it)

    def _compiler_options(self, platform: str, name: str) -> dict[str, Any]:
        if platform == "cpu":
            return QUICKLY_COMPILED if name == START else {}
        return UNTUNED if platform == "gpu" and not self.tuned else {}

    def _lower_start(self, device: Place) -> jax.stages.Lowered:
        start = jax.jit(self._start(), out_shardings=self._shardings(device))
        return start.lower(*_on(everywhere(device), self._start_shapes()))

    def _lower_advance(self, device: Place) -> jax.stages.Lowered:
        lane = make_lane(
            self.workload, self.optimizer, self.metric, self.micro_batches, streamed=self.streamed
        )
        make = make_streamed_advance if self.streamed else make_advance
        function = make(lane, self.axes, self.execution, in_parts=self.in_parts)
        placed = self._shardings(device)
        advance = jax.jit(function, donate_argnums=0, out_shardings=placed)
        carry = jax.tree.map(_on, placed, self._carry_shapes())
        count, number = _shape(jnp.int32), _shape(jnp.float32)
        cadence = _shape(jnp.int32, self.max_evals)
        reads, weights = _shape(jnp.int32, self.max_evals, 2), _shape(jnp.float32, self.max_evals, 3)
        flag = _shape(jnp.bool_)
        batch = _shape(jnp.int32, self.phases, 2) if self.phases else count
        terms = Terms(
            self._start_shapes()[0], batch, cadence, count, reads, weights, number, flag, *(number, number)
        )
        if not self.streamed:
            return advance.lower(carry, *_on(everywhere(device), (terms, count, self.data(device))))
        window = window_shapes(self.workload.train_data, self.window_rows)
        data = self.data(device)._replace(train=window)
        return advance.lower(carry, *_on(everywhere(device), (terms, count, count, data)))

    def _start(self) -> Callable[..., Carry]:
        lane = make_lane(self.workload, self.optimizer, self.metric)
        examples = None if self.streamed else num_examples(self.workload.train_data)
        return make_start(lane, self.axes, examples, self.max_evals)

    def placed(self, device: Place, carry: Carry) -> Carry:
        """A chunk in flight on its devices: what lies there already stays."""
        return put(carry, self._shardings(device))

    def _shardings(self, device: Place) -> Any:
        """Where each part of a chunk in flight lies, a prefix of its tree."""
        lanes = of_lanes(device, self.axes, self._carry_shapes().lanes, spread=self.mesh.spread)
        places: Any = dict.fromkeys(Carry._fields, everywhere(device)) | {"lanes": lanes}
        return Carry(**places)

    def _carry_shapes(self) -> Carry:
        return self._shapes.get(lambda: jax.eval_shape(self._start(), *self._start_shapes()))

    def _start_shapes(self) -> tuple:
        hparams = dict.fromkeys(self.hparams, _shape(jnp.float32, self.width))
        return hparams, _shape(jnp.int32), _shape(jnp.bool_, self.width), _shape(jnp.float32)

    @property
    def axes(self) -> LaneState:
        """Where the lane axis of each leaf of a lane's state is. Looked for once, since that takes a trace."""
        lane = make_lane(self.workload, self.optimizer, self.metric)
        return self._lane_axes.get(lambda: state_axes(lane, self.hparams, self.workload.train_data))


class Programs:
    """The engines of studies, each made when it is first asked for.

    Handed to `lr_batch.run` again, it runs a study without compiling. Studies that train on the same data by the same
    program, at the same width and number of evaluations, share an engine. Safe to use from several threads.
    """

    def __init__(self):
        self._engines: dict[Hashable, Engine] = {}
        self._lock = threading.Lock()

    def engine(self, study: Study, width: int, execution: str, *, max_evals: int) -> Engine:
        """The engine of a study's chunks of `width` lanes; nothing is compiled yet."""
        workload = study.workload
        micro_batches = micro_batches_of(study.trained_batch_sizes, workload.micro_batch, workload.group)
        sizes = (micro_batches, study.batch_phases, workload.augment)
        # Which the engine keeps
        data = tuple(map(id, jax.tree.leaves((workload.train_data, workload.eval_data))))
        key = (program_key(study), data, sizes, study.mesh, width, execution, max_evals, reads_parts(study))
        with self._lock:
            if key not in self._engines:
                self._engines[key] = Engine.of(study, width, execution, max_evals=max_evals)
            return self._engines[key]

    @property
    def compile_seconds(self) -> tuple[float, ...]:
        """Seconds of compilation of every program compiled so far."""
        return tuple(seconds for engine in list(self._engines.values()) for seconds in engine.compile_seconds)


def _shape(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _on(sharding: jax.sharding.Sharding, tree: PyTree) -> PyTree:
    """Shapes of what lies there."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)
