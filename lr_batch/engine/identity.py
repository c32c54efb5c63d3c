"""What decides the numbers of a trial beside its batch size, seed and setting."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from lr_batch.data import data_hash
from lr_batch.engine.memo import once_per_program
from lr_batch.errors import StudyError
from lr_batch.lanes.execution import block_size
from lr_batch.lanes.lane import Draw, make_lane
from lr_batch.problem.precision import FLOAT32
from lr_batch.problem.statistics import AVERAGED, GROUP
from lr_batch.problem.workload import evenly_spaced, num_examples
from lr_batch.study import Study
from optim.users_error import first_line


class Identity(NamedTuple):
    """Everything beside batch size, seed and setting. Two studies that agree in it can share trials.

    The code of model, loss and optimizer enters as a hash of the program that they compile to, so that an edited
    file is never taken for the old one. That hash differs between versions of JAX, and so do the last bits of results.

    A field with a default is left out of the description where it holds it: chunks that were stored before the
    field was there keep their hashes. What changes the numbers of every trial, such as another rule for reaching a
    goal, becomes a new field whose default stands for the earlier behaviour.

    Attributes:
      workload, optimizer: their names.
      data: hash of the examples.
      program: hash of the lowered program.
      goal: metric, threshold, and True where it has to be exceeded; no threshold, None, where none plays a part.
      budget: in steps, or value and unit.
      slack: of the race, as text, since it may be infinite.
      evaluation_growth: of the cadence of evaluations; None where a search evaluates at other steps.
      width: lanes of a chunk.
      lanes: how they are executed.
      jax: its version.
      time_constant: of the average that reaches the goal, see `lr_batch.problem.reaching`; 0 for the first evaluation.
      evaluation_share: of the time, which decides what evaluations read, see `lr_batch.engine.cadence`; 1 for everything.
      epochs, evals, train_rows: of a training without a goal, see `lr_batch.generalize`: "spaced" where training metrics
        are those of evenly spaced examples, None where they are those of all, or of the first ones in earlier stores.
      schedule: name and units of lengths; None where rates stay.
      batch_schedule: its phases; None where batches stay.
      precision: of the training.
      statistics, group_size: of a model with batch statistics; see `Study`.
      augment: what happens to the inputs of the training, by name; None for nothing.
      mesh: of devices that a chunk is spread over; "" for one device.
      remat: whether the backward pass computes activations a second time.
      segment: the `steps` at which a search ends a trial before its budget; with what it `continues`, of a trial that
        is trained in several segments, see `hparam.tuning`.
    """

    workload: str
    data: str
    optimizer: str
    program: str
    goal: tuple[str | float | bool | None, ...]
    budget: int | Mapping[str, Any]
    slack: str
    evaluation_growth: float | None
    width: int
    lanes: str
    jax: str
    time_constant: float = 0.0
    evaluation_share: float = 1.0
    epochs: float | None = None
    evals: int | None = None
    train_rows: str | None = None
    segment: Mapping[str, Any] | None = None
    schedule: Mapping[str, Any] | None = None
    batch_schedule: Sequence[Any] | None = None
    precision: str = FLOAT32
    statistics: str = AVERAGED
    group_size: int = GROUP
    augment: str | None = None
    mesh: str = ""
    remat: bool = False
    brisk: bool = False

    def share(self, lanes: int) -> float:
        """The part of the time of a full chunk that one of so many lanes takes: where all are batched they take it all,
        and blocks without any take none."""
        block = block_size(self.width, self.lanes)
        return -(-lanes // block) * block / self.width

    @classmethod
    def of(cls, study: Study, width: int, execution: str) -> Identity:
        """The identity of the trials of a study."""
        return cls(
            workload=study.workload.name,
            data=data_hash(study.workload),
            optimizer=study.optimizer_name,
            program=program_hash(study),
            goal=study.goal.described,
            budget=study.budget if isinstance(study.budget, int) else study.budget._asdict(),
            slack=repr(float(study.slack)),
            evaluation_growth=study.evaluation_growth,
            time_constant=study.time_constant,
            evaluation_share=study.evaluation_share,
            width=width,
            lanes=execution,
            jax=jax.__version__,
            schedule=study.schedule and study.schedule.described,
            batch_schedule=study.batch_schedule and study.batch_schedule.described,
            precision=study.precision,
            statistics=study.statistics or AVERAGED,
            group_size=study.group_size or GROUP,
            augment=study.augment,
            mesh=str(study.mesh) if study.mesh and study.mesh.devices > 1 else "",
            remat=study.remat,
            brisk=study.brisk,
        )

    def described(self) -> dict[str, Any]:
        """The form that is hashed and stored, JSON-like."""
        defaults = self._field_defaults
        kept = {name: value for name, value in self._asdict().items() if defaults.get(name, self) != value}
        return kept | {"goal": list(self.goal)}


def measured_rows(study: Study) -> Int[np.ndarray, " rows"]:
    """Training examples that `lr_batch.generalize` measures beside all that are held out: as many, if there are."""
    workload = study.workload
    return evenly_spaced(num_examples(workload.train_data), num_examples(workload.eval_data))


def train_rows(study: Study) -> str | None:
    """Which these are, as an identity says it."""
    return "spaced" if len(measured_rows(study)) < num_examples(study.workload.train_data) else None


@once_per_program()
def program_hash(study: Study) -> str:
    """Hash of one lane's steps and evaluation, lowered but not compiled.

    Raises:
      StudyError: if the user's model, loss or optimizer cannot be traced.
    """
    try:
        return hashlib.sha256(_lower(study).as_text().encode()).hexdigest()[:16]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's code may leave the process, too
        raise StudyError(
            f"{study.workload.name} with {study.optimizer_name} cannot be compiled: {first_line(error)}"
        ) from error


def _lower(study: Study) -> jax.stages.Lowered:
    lane = make_lane(study.workload, study.lane_optimizer, study.goal.metric)

    def train_and_evaluate(hparams, seed, train, held_out, mask):
        state, draw = lane.init(hparams, seed, jnp.bool_(True)), Draw.first(seed, num_examples(train))
        step = lambda _, state: lane.step(hparams, state, draw, seed, train)
        state = jax.lax.fori_loop(0, seed, step, state)
        return state, lane.evaluate(state, held_out, mask)

    shape = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    one_block = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), study.workload.eval_data
    )
    rows = jax.tree.leaves(one_block)[0].shape[1]
    return jax.jit(train_and_evaluate).lower(
        dict.fromkeys(study.space, jax.ShapeDtypeStruct((), jnp.float32)),
        jax.ShapeDtypeStruct((), jnp.int32),
        jax.tree.map(shape, study.workload.train_data),
        one_block,
        jax.ShapeDtypeStruct((1, rows), jnp.bool_),
    )
