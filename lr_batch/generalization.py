"""Held-out and training performance of every trial of a study that trains for a set number of epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

import reg
from lr_batch.checks import check
from lr_batch.engine.chunk import Chunk
from lr_batch.engine.chunk_plan import ChunkPlan, Task, run_within_memory
from lr_batch.engine.identity import measured_rows, train_rows
from lr_batch.engine.place import refuse_mesh
from lr_batch.engine.placement import streamed
from lr_batch.engine.terms import padded
from lr_batch.engine.workers import Once, Program, run_tasks, worker_devices
from lr_batch.errors import StudyError
from lr_batch.lanes.fit import FitData, make_fit
from lr_batch.lanes.held_out_blocks import EVAL_BLOCK, in_blocks, shuffled
from lr_batch.lanes.micro_batch import micro_batches_of
from lr_batch.lanes.race import Data
from lr_batch.problem.augmentation import refuse_augmentation
from lr_batch.problem.reaching import FIRST, RULES
from lr_batch.problem.regularized import RegularizedOptimizer
from lr_batch.problem.workload import num_examples
from lr_batch.study import Study
from optim.arguments import explain_arguments

EVALS = 40  # evaluations after the start, evenly over the training

Arrays = dict[str, np.ndarray]


class Generalization(NamedTuple):
    """Trials as columns. Curves are `[trials, evals]`; `steps[i, e]` is the step of evaluation e of trial i.

    A trial's outcome is that of evaluation `kept_eval`: the last, or the best before early stopping.
    `confidence` and `correct` are counts in equal bins of the top probability, see
    `lr_batch.lanes.fit.Fit`.
    """

    study: Study
    epochs: float
    batch_size: Int[np.ndarray, " trials"]
    seed: Int[np.ndarray, " trials"]
    hparams: Mapping[str, Float[np.ndarray, " trials"]]
    steps: Int[np.ndarray, "trials evals"]
    train: Mapping[str, Float[np.ndarray, "trials evals"]]
    held_out: Mapping[str, Float[np.ndarray, "trials evals"]]
    weight_norm: Float[np.ndarray, "trials evals"]
    sparsity: Float[np.ndarray, "trials evals"]
    kept_eval: Int[np.ndarray, " trials"]
    stopped: Bool[np.ndarray, " trials"]
    alive: Bool[np.ndarray, " trials"]
    confidence: Float[np.ndarray, "trials bins"]
    correct: Float[np.ndarray, "trials bins"]
    seconds: float

    @classmethod
    def of(
        cls, study: Study, epochs: float, done: Iterable[tuple[Chunk, Arrays]], seconds: float
    ) -> Generalization:
        """The trials of finished chunks, by batch size, seed and setting, in whatever order they were finished.

        Args:
          study: what was trained; of a store its description is enough.
          epochs: of each trial.
          done: all chunks with their arrays.
          seconds: that it took.
        """
        places = {tuple(setting.values()): place for place, setting in enumerate(study.settings)}
        place = lambda chunk: (chunk.batch_size, chunk.seed, places[tuple(chunk.settings[0].values())])
        done = sorted(done, key=lambda pair: place(pair[0]))
        chunks, rows = [chunk for chunk, _ in done], [arrays for _, arrays in done]
        settings = [setting for chunk in chunks for setting in chunk.settings]
        column = lambda value: np.concatenate([np.full(len(c.settings), value(c)) for c in chunks])
        arrays = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        dotted = lambda part: {k.partition(".")[2]: v for k, v in arrays.items() if k.startswith(f"{part}.")}
        plain = {name: value for name, value in arrays.items() if "." not in name}
        return cls(
            study=study,
            epochs=epochs,
            batch_size=column(lambda chunk: chunk.batch_size),
            seed=column(lambda chunk: chunk.seed),
            hparams={name: np.array([s[name] for s in settings]) for name in study.space},
            train=dotted("train"),
            held_out=dotted("held_out"),
            seconds=seconds,
            **plain,
        )

    @property
    def regularizer(self) -> reg.Regularizer:
        """The study's.

        Raises:
          ValueError: the study has none, so there are no strengths to compare.
        """
        if self.study.regularizer is None:
            raise ValueError(
                "generalization: the study has no regularizer, so no strengths; Study(regularizer=...)"
            )
        return self.study.regularizer

    def outcome(self, curve: Float[np.ndarray, "trials evals"]) -> Float[np.ndarray, " trials"]:
        """A curve's value at the evaluation that is kept; infinite where the trial diverged."""
        values = np.take_along_axis(curve, self.kept_eval[:, None], axis=1)[:, 0]
        return np.where(self.alive & np.isfinite(values), values, np.inf)

    def cost(self, metrics: Mapping[str, Float[np.ndarray, "trials evals"]]) -> Float[np.ndarray, " trials"]:
        """The outcome of the goal's metric where less is better: its negative where the goal lies above."""
        return self.outcome(self.study.goal.sign * metrics[self.study.goal.metric])


@runtime_checkable
class ArrayStore(Protocol):
    """Keeps the arrays of finished chunks."""

    def load(self, chunk: Chunk) -> Arrays | None: ...

    def save(self, chunk: Chunk, arrays: Arrays) -> None: ...


@explain_arguments
def generalize(
    study: Study,
    epochs: float,
    store: ArrayStore | None = None,
    on_chunk: Callable[[int, int], None] = lambda done, planned: None,
    *,
    width: int | None = None,
) -> Generalization:
    """Trains every trial of `study` for `epochs` and measures training and held-out performance as it goes.

    The goal, the budget and the race of the study play no part, but for the goal's metric, by which early
    stopping judges. Training metrics are means over as many training examples as are held out, evenly spaced.

    Args:
      study: workload, optimizer, regularizer, batch sizes, space and seeds.
      epochs: passes over the training data, above 0.
      store: finished chunks in it are not trained again.
      on_chunk: called with the chunks done and planned.
      width: as for `lr_batch.run`.
    """
    refuse_augmentation("generalize", study.workload)
    if study.batch_schedule or study.design:
        what = "batch_schedule" if study.batch_schedule else "design"
        raise ValueError(f"generalize: {what} is of studies that lr_batch.run trains; leave it out")
    if not (np.isfinite(epochs) and epochs > 0):
        raise ValueError(f"generalize: epochs must be above 0, got {epochs!r}")
    refuse_mesh("generalize", study)
    began = time.monotonic()
    runner = _Runner(study, epochs, store, width)
    done: list[tuple[Chunk, Arrays]] = []

    def is_finished(task):
        known = None if store is None else store.load(task.chunk)
        done.extend([(task.chunk, known)] if known else [])
        return bool(known)

    missing = runner.plan.unfinished(runner.tasks(), is_finished, lambda halves, event: None)
    planned = len(done) + len(missing)
    on_chunk(len(done), planned)
    for finished in run_tasks(missing, runner.run, worker_devices()):
        done.append(finished)
        on_chunk(len(done), planned + runner.halved)
    return Generalization.of(study, epochs, done, time.monotonic() - began)


class _Runner:
    """The plan of a study, and its programs, each compiled by the worker that first needs it."""

    def __init__(self, study: Study, epochs: float, store: ArrayStore | None, width: int | None = None):
        check(study, to_goal=False)
        self.study, self.epochs, self.store = study, epochs, store
        chunk_plan = ChunkPlan.of(study, kept=width)
        # Nothing is raced to a goal here: of the rule of reaching it, what stands in the oldest stores.
        rule = {
            "time_constant": RULES[FIRST].time_constant,
            "evaluation_growth": RULES[FIRST].growth,
            "evaluation_share": 1.0,
            "brisk": False,
        }
        identity = chunk_plan.identity._replace(
            epochs=float(epochs), evals=EVALS, train_rows=train_rows(study), **rule
        )
        self.plan = chunk_plan._replace(identity=identity)
        self.halved = 0  # chunks that did not fit into memory, each now two
        workload = streamed(study.workload, False)  # all of it is evaluated, too
        held_out, mask = in_blocks(workload.eval_data, EVAL_BLOCK)
        order = shuffled(num_examples(workload.eval_data))
        part, part_mask = in_blocks(
            jax.tree.map(lambda leaf: leaf[measured_rows(study)], workload.train_data), EVAL_BLOCK
        )
        self.data = FitData(Data(workload.train_data, held_out, mask, order), part, part_mask)
        self.programs: dict[tuple[jax.Device, int], Once] = {}

    def tasks(self) -> list[Task]:
        return [
            task
            for batch_size in self.study.batch_sizes
            for seed in self.study.seed_numbers
            for task in self.plan.tasks(batch_size, seed, self.study.settings)
        ]

    def cadence(self, batch_size: int) -> Int[np.ndarray, " evals"]:
        steps = max(1, round(self.epochs * num_examples(self.study.workload.train_data) / batch_size))
        return np.round(np.linspace(0, steps, EVALS + 1)).astype(np.int32)

    def run(self, task: Task, device: jax.Device, emit: Callable) -> list[Task]:
        """In a worker's thread. Returns the two halves of a chunk that did not fit into memory."""

        def finish(task):
            chunk = task.chunk  # a half may have been finished by an earlier run
            known = None if self.store is None else self.store.load(chunk)
            arrays = known or self._train(chunk, task.width, device)
            if self.store is not None:
                self.store.save(chunk, arrays)
            emit((chunk, arrays))

        return run_within_memory(task, finish, self._note_halves)

    def _note_halves(self, halves: list[Task], event: str) -> None:
        if not halves:
            raise StudyError(f"generalize: {event}")
        self.halved += len(halves) - 1

    def _train(self, chunk: Chunk, width: int, device: jax.Device) -> Arrays:
        cadence = self.cadence(chunk.batch_size)
        settings = self.study.as_trained(chunk.settings, chunk.batch_size, int(cadence[-1]))
        hparams = padded(settings, width)
        args = jax.device_put(
            (hparams, np.int32(chunk.seed), np.int32(chunk.batch_size), cadence, self.data), device
        )
        fit = jax.device_get(self._program(device, width, args)(*args))
        lanes = len(chunk.settings)
        arrays = {"steps": np.tile(cadence, (lanes, 1))}
        for path, leaf in jax.tree.leaves_with_path(fit.curves):
            arrays[jax.tree_util.keystr(path, simple=True, separator=".")] = leaf.T[:lanes]
        return arrays | {name: getattr(fit, name)[:lanes] for name in fit._fields[1:]}

    def _program(self, device: jax.Device, width: int, args: tuple) -> Program:
        def compile_it():
            workload = self.study.workload
            fit = make_fit(
                workload,
                self.study.lane_optimizer,
                self.study.goal,
                self._stopping_rule(),
                hparams=tuple(self.study.space),
                micro_batches=micro_batches_of(
                    self.study.batch_sizes, self.study.workload.micro_batch, self.study.workload.group
                ),
                num_classes=self._classes(),
                execution=self.plan.execution,
            )
            return Program(jax.jit(fit).lower(*args))

        return self.programs.setdefault((device, width), Once()).get(compile_it)

    def _stopping_rule(self) -> Callable[[Mapping[str, jax.Array]], reg.EarlyStopping] | None:
        regularizer = self.study.regularizer
        if not regularizer or (stop := regularizer.stop) is None:
            return None
        strengths = RegularizedOptimizer(self.study.optimizer, regularizer).strengths
        return lambda hparams: stop(strengths(hparams))

    def _classes(self) -> int | None:
        """Of a loss that is a cross entropy over them."""
        workload = self.study.workload
        classes = reg.num_classes(workload.train_data)
        if classes is None or "loss" not in jax.eval_shape(
            lambda: workload.evaluate(
                workload.before_training(jax.random.key(0)),
                jax.tree.map(lambda leaf: leaf[:2], workload.eval_data),
            )
        ):
            return None
        return classes
