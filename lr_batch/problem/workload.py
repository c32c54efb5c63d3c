"""A training problem without its optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from lr_batch.problem.statistics import Averages, Statistics
from lr_batch.problem.trees import Key, PyTree
from lr_batch.problem.whole_set import Metric
from optim.arguments import explain_arguments, type_of
from optim.names import unknown

if TYPE_CHECKING:
    from lr_batch.problem.augmentation import Augmentation

# How the lanes of a chunk are executed, the field `Workload.lanes`; see `lr_batch.lanes.execution`.
VMAP, BLOCKS, MAP, AUTO = "vmap", "blocks", "map", "auto"
EXECUTIONS = (VMAP, BLOCKS, MAP, AUTO)


class Goal(NamedTuple):
    """Held-out performance at which a trial counts as done.

    Reached where `metric` of the held-out set, as a rule a mean over its examples,
    is strictly below `threshold`, or above it where `above`; whether a single
    evaluation is enough, `Study.reached` says.

    >>> str(Goal("accuracy", 0.95, above=True))
    'accuracy > 0.95'
    """

    metric: str
    threshold: float
    above: bool = False

    def __str__(self) -> str:
        return f"{self.metric} {'>' if self.above else '<'} {self.threshold:g}"

    @property
    def sign(self) -> int:
        """1 where less of the metric is better, -1 where more is."""
        return -1 if self.above else 1

    def is_met(self, value: Any) -> Any:
        """Whether `value` of the metric lies on the good side; arrays are taken as well."""
        return value > self.threshold if self.above else value < self.threshold

    @property
    def described(self) -> tuple[str | float | bool, ...]:
        """As it is hashed and stored: the direction only where it is not the usual one."""
        return tuple(self) if self.above else (self.metric, self.threshold)


class Fitted(NamedTuple):
    """What a model with batch statistics is evaluated at."""

    params: PyTree
    averages: Averages


class Workload(NamedTuple):
    """A training problem as pure functions over arrays.

    Losses are per example and not averaged: the engine weighs and sums them, so
    that one compiled program serves every batch size. The functions are traced
    once for the same shapes, as under `jax.jit`: what they read beside their
    arguments must not change.

    Attributes:
      name: how the command line, the store and the figures call it.
      init: `key -> params`.
      loss: `(params, batch, key) -> [m]`, the training loss of each of the m
        examples of a batch. `key` is for dropout and other noise; it differs
        from step to step and is shared by all lanes of a chunk.
      evaluate: `(params, batch) -> {metric: [n]}`, each metric of each of the n
        held-out examples; of one in `metrics` the arguments that its `accumulate`
        takes between state and weights, as a tuple.
      train_data: tree of arrays with one leading axis of examples; a batch is
        the same tree with rows gathered.
      eval_data: the same for the held-out examples.
      goal: default goal.
      budget: default limit on the optimizer steps of one trial.
      batch_sizes: default batch sizes of a study, ascending.
      micro_batch: largest number of examples differentiated at once. Larger
        batches accumulate gradients over several of them.
      lanes: how the trials of a chunk are executed: "vmap" (one batched
        program), "blocks" (a few at a time), "map" (one after the other inside
        one program), or "auto" (measured where it is in doubt, see `lr_batch.engine.execution_choice`).
      weights: `batch -> [m]`, of the examples in losses and metrics, which become
        weighted means; `[m, ...]` where the parts of an example have their own, and
        the example their sum. None where all weigh the same.
      metrics: those that are no means over examples, by name.
      stand_in: what the data are where they stand in for those of the name; said in
        the hash of the data, figures and reports.
      statistics: of a model that normalises examples by their batch and keeps running
        averages for evaluation. `loss` then takes the examples of one group, and
        `evaluate` takes `Fitted(params, averages)` in the place of the parameters.
      augment: of the inputs in training, see `lr_batch.problem.augmentation`; None where
        they are trained on as they are. `train_data` then holds columns.
    """

    name: str
    init: Callable[[Key], PyTree]
    loss: Callable[[PyTree, PyTree, Key], Float[Array, " m"]]
    evaluate: Callable[[PyTree, PyTree], Mapping[str, Float[Array, " n"]]]
    train_data: PyTree
    eval_data: PyTree
    goal: Goal
    budget: int = 10_000
    batch_sizes: tuple[int, ...] = tuple(2**i for i in range(11))
    micro_batch: int = 1_024
    lanes: str = "auto"
    weights: Callable[[PyTree], Float[Array, "m ..."]] | None = None
    metrics: Mapping[str, Metric] = MappingProxyType({})
    stand_in: str = ""
    statistics: Statistics | None = None
    augment: Augmentation | None = None

    def __repr__(self) -> str:
        """Short: its data are arrays, which nobody reads."""
        return f"Workload({self.name}, goal {self.goal})"

    @property
    def group(self) -> int:
        """Examples that are computed together: micro-batches and batch sizes are multiples of it."""
        return self.statistics.group if self.statistics else 1

    def before_training(self, key: Key) -> PyTree:
        """What `evaluate` takes before the first step."""
        return self.fitted(self.init(key), self.statistics.initial if self.statistics else ())

    def fitted(self, params: PyTree, averages: Any) -> PyTree:
        """What `evaluate` takes: the parameters, with the averages where there are any."""
        return Fitted(params, averages) if self.statistics else params


@explain_arguments
def num_examples(data: PyTree) -> int:
    """Length of the leading axis that all arrays of `data` share."""
    leaves = jax.tree.leaves(data)
    if not leaves or not all(getattr(leaf, "shape", ()) for leaf in leaves):
        raise ValueError(
            f"num_examples: data must be arrays with one row for each example, got {type_of(data)}"
        )
    lengths = {leaf.shape[0] for leaf in leaves}
    if len(lengths) != 1:
        raise ValueError(
            f"num_examples: arrays of one data set must have the same number of rows, got {sorted(lengths)}"
        )
    return lengths.pop()


def evenly_spaced(total: int, most: int) -> Int[np.ndarray, " rows"]:
    """At most so many rows of `total` that stand for all, also in a file that is sorted by its labels."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).astype(int))


def read_lanes(value: Any) -> str:
    """How lanes are executed: a name of `EXECUTIONS`."""
    if not isinstance(value, str) or value not in EXECUTIONS:
        raise ValueError(f"study: {unknown('lanes', value, EXECUTIONS)}")
    return value
